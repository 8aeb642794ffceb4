"""介绍信页面: stub, letter and slip on one sheet of A4, with nothing loaded from elsewhere."""

from __future__ import annotations

from datetime import date
from html import escape

from api.paper.printing import Letter, picture

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:",
    "X-Content-Type-Options": "nosniff",
    # It is a person's data: no copy stays in a browser.
    "Cache-Control": "no-store",
}

STYLE = """
@page { size: A4; margin: 12mm 15mm }
body { font: 11.5pt/1.75 "Songti SC", SimSun, "Noto Serif CJK SC", "Source Han Serif SC", serif;
  color: #000; background: #fff; max-width: 180mm; margin: 0 auto }
h1, h2 { font-family: "Heiti SC", SimHei, "Noto Sans CJK SC", "Source Han Sans SC", sans-serif;
  text-align: center; margin: 0; font-size: 15pt; font-weight: bold }
h2 { font-size: 13pt }
section { position: relative; break-inside: avoid; padding: 3mm 0 4mm }
section + section { border-top: 1px dashed #000 }
section + section::before { content: "……骑 缝 章……"; position: absolute; top: -0.9em; left: 42%;
  background: #fff; padding: 0 1em; font-size: 9pt }
p { margin: 1mm 0; text-indent: 2em }
.no, .sign { text-align: right; text-indent: 0 }
.top, .note { text-indent: 0 }
.note { font-size: 9pt }
.qr { float: right; width: 44mm; margin: 0 0 1mm 4mm; text-align: center; font-size: 8pt;
  line-height: 1.3 }
.qr img { width: 44mm; height: 44mm; image-rendering: pixelated; display: block }
.slip .qr, .slip .qr img { width: 32mm } .slip .qr img { height: 32mm }
u { text-underline-offset: 3px; padding: 0 .3em }
.glue { border: 1px dotted #666; color: #666; text-align: center; text-indent: 0; font-size: 9pt;
  padding: 3mm; margin: 2mm 0 0 }
"""

_DIGITS = "零壹贰叁肆伍陆柒捌玖"
_TEN = 10
_BLANK = "&emsp;" * 6


def capital(number: int) -> str:
    """A number below 100 in capital numerals, which nobody alters with a stroke: 30 is 叁拾."""
    tens, ones = divmod(number, _TEN)
    if not tens:
        return _DIGITS[ones]
    return f"{_DIGITS[tens]}拾{_DIGITS[ones] if ones else ''}"


def capital_year(year: int) -> str:
    """A year digit by digit: 2026 is 贰零贰陆."""
    return "".join(_DIGITS[int(digit)] for digit in str(year))


def page(letter: Letter) -> str:
    """The whole page, to be printed by the browser."""
    return (
        '<!doctype html><html lang="zh-CN"><meta charset="utf-8">'
        f"<title>党员组织关系介绍信 {escape(letter.number)}</title><style>{STYLE}</style>"
        f"{_stub(letter)}{_letter(letter)}{_slip(letter)}</html>"
    )


def _stub(letter: Letter) -> str:
    return (
        '<section class="stub"><h2>党员组织关系介绍信（存根）</h2>'
        f'<p class="no">{_said(letter.number)}</p>'
        f"<p>{_said(letter.person['name'])}同志系中共{_said(letter.category)}，组织关系由"
        f"{_said(letter.from_name)}转到{_said(letter.to_name)}。</p>"
        f'<p class="sign">{_day(letter.sent_on)}</p>'
        '<p class="glue">贴回执联处</p></section>'
    )


def _letter(letter: Letter) -> str:
    person, dues = letter.person, letter.dues_paid_to
    facts = (
        f"{_said(person['name'])}同志（{_said(person['sex'])}，{_said(str(letter.age))}岁，"
        f"{_or_blank(person['ethnic'])}，"
        f"系中共{_said(letter.category)}，身份证号码{_said(person['number'])}），"
        f"由{_said(letter.from_name)}去{_said(letter.to_name)}，请转接组织关系。"
        f"该同志党费已交到{_said(capital_year(dues.year))}年{_said(capital(dues.month))}月。"
    )
    return (
        '<section class="letter"><h1>中国共产党党员组织关系介绍信</h1>'
        f"{_code(letter.letter_text, '介绍信联')}"
        f'<p class="no">{_said(letter.number)}</p>'
        f'<p class="top">{_said(letter.to_name)}：</p><p>{facts}</p>'
        f"<p>（有效期{_said(capital(letter.days))}天）</p>"
        f'<p class="sign">（盖章）{_BLANK}{_day(letter.sent_on)}</p>'
        f'<p class="note">党员联系电话或其他联系方式：{_or_blank(person["phone"])}</p>'
        f'<p class="note">党员原所在基层党委通讯地址：<u>{_BLANK * 3}</u></p>'
        f'<p class="note">联系电话：<u>{_BLANK}</u> 传真：<u>{_BLANK}</u> 邮编：<u>{_BLANK}</u></p>'
        "</section>"
    )


def _slip(letter: Letter) -> str:
    return (
        '<section class="slip"><h2>党员组织关系介绍信回执联</h2>'
        f"{_code(letter.slip_text, '回执联')}"
        f'<p class="no">{_said(letter.number)}</p>'
        f'<p class="top">{_said(letter.from_name)}：</p>'
        f"<p>{_said(letter.person['name'])}同志的党员组织关系已转达我处。"
        f"接收日期：<u>{_BLANK}</u>，编入党支部：<u>{_BLANK * 2}</u></p>"
        f'<p class="sign">（盖章）{_BLANK}<u>&emsp;&emsp;</u>年<u>&emsp;</u>月<u>&emsp;</u>日</p>'
        f'<p class="note">经办人：<u>{_BLANK}</u> 联系电话：<u>{_BLANK}</u></p>'
        '<p class="note">注：回执联由接收党员组织关系的基层党委在接收党员后一个月内'
        "邮寄、传真或带回给党员原所在基层党委。</p></section>"
    )


def _code(text: str, part: str) -> str:
    return f'<div class="qr"><img alt="{part}二维码" src="{picture(text)}">{part}·扫码核验</div>'


def _said(text: str) -> str:
    return f"<u>{escape(text)}</u>"


def _or_blank(text: str | None) -> str:
    return _said(text) if text else f"<u>{_BLANK}</u>"


def _day(day: date) -> str:
    return f"{day.year} 年 {day.month} 月 {day.day} 日"
