"""规则: every reason why a row is refused or remarked upon, and how to mend it."""

from __future__ import annotations

RULES = {
    "missing": "此格必须填写。This cell must be filled in.",
    "missing_phone": (
        "没有本人联系方式，将无法联系；请补填。"
        "Without a telephone the member cannot be reached; please add it."
    ),
    "formula_as_name": (
        "姓名是公式，未计算；请直接填写姓名（复制→选择性粘贴→数值）。"
        "The name is a formula and was not evaluated; type the name (paste special, values)."
    ),
    "formula": (
        "此格是公式，未计算；请改为数值（复制→选择性粘贴→数值）。"
        "The cell is a formula and was not evaluated; keep its value (paste special, values)."
    ),
    "error_cell": (
        "此格显示 Excel 错误（如 #N/A）；请直接填写。"
        "The cell shows an Excel error such as #N/A; type the value."
    ),
    "too_long": "文字太长，请缩短。The text is too long; shorten it.",
    "invalid_value": "内容不符合要求，请核对。The value does not meet its rule; check it.",
    "truncated_number": (
        "号码被 Excel 当作数字，末几位已丢失；请先把单元格设为文本，再对照身份证重新填写。"
        "Excel took the number for a figure and lost its last digits; "
        "set the cell to text, then copy the number from the card."
    ),
    "short_number": (
        "号码只有 {length} 位，应为 18 位；请对照身份证补全。"
        "The number has {length} characters instead of 18; complete it from the card."
    ),
    "long_number": (
        "号码有 {length} 位，应为 18 位；请对照身份证更正。"
        "The number has {length} characters instead of 18; correct it from the card."
    ),
    "bad_characters": (
        "号码含有数字和末位 X 以外的字符；请对照身份证更正。"
        "The number holds something besides digits and a final X; correct it from the card."
    ),
    "bad_check_digit": (
        "校验位不符，号码至少有一位填错；请对照身份证更正。"
        "The check digit does not fit, so a digit is wrong; correct it from the card."
    ),
    "birth_date_in_number": (
        "号码第 7 至 14 位不是日期；请对照身份证更正。"
        "Digits 7 to 14 of the number are no date; correct it from the card."
    ),
    "birth_contradicts_number": (
        "出生日期与号码第 7 至 14 位不一致；请对照身份证更正其中之一。"
        "The date of birth differs from digits 7 to 14 of the number; correct one of them."
    ),
    "sex_contradicts_number": (
        "性别与号码第 17 位不一致（单数为男）；请对照身份证更正其中之一。"
        "The sex differs from digit 17 of the number (odd: male); correct one of them."
    ),
    "duplicate": (
        "与“{sheet}”第 {row} 行重复；请删除其中一行。"
        "It repeats row {row} of sheet {sheet}; delete one of the two."
    ),
    "date_nonsense": (
        "这不是可用的日期；请按 2016-01-04 或 2016年01月04日 填写。"
        "This is not a usable date; write it as 2016-01-04 or 2016年01月04日."
    ),
    "before_birth": "日期早于出生日期；请核对。The date lies before the birth; check both.",
    "in_the_future": "日期晚于今天；请核对。The date lies in the future; check it.",
    "left_in_the_future": (
        "流出日期晚于今天；尚未流出的请先作外出报告，不填台账。"
        "The departure lies in the future; who has not left yet is reported, not entered here."
    ),
    "full_before_joined": (
        "转正日期早于入党日期；请核对。Full membership lies before joining; check both dates."
    ),
    "equal_dates_outside_1969_1977": (
        "转正日期与入党日期相同；只有 1969-04-01 至 1977-08-11 入党的没有预备期，请核对。"
        "Both dates are equal; only who joined from 1969-04-01 to 1977-08-11 had no probation."
    ),
    "next_before_contact": (
        "下次联系日期应晚于本次日期；请核对。The next contact comes after this one; check both."
    ),
    "bad_phone": (
        "电话号码位数或字符不对；请填一个 11 位手机号码，或带区号的固定电话。"
        "This is no telephone number; give one 11-digit mobile, or a landline with its area code."
    ),
    "unallocated_phone": (
        "号码不在已分配的号段内，已照收；请核对。"
        "The number lies outside the allocated ranges; it is accepted, please check it."
    ),
    "unknown_value": (
        "不认识的填法；应填 {allowed}。This entry is not known; write one of {allowed}."
    ),
    "unknown_ethnic_group": (
        "不在国家标准的 56 个民族名称之内，已照原文收录；请核对。"
        "Not among the 56 names of the national standard; kept as written, please check it."
    ),
    "unknown_symbol": (
        "不认识的考勤符号；应为 √到会 #迟到 O病假 ★公假 △事假 ×无故缺席，未参加统计的留空。"
        "This mark is not known; use √ # O ★ △ ×, or leave the cell empty."
    ),
    "no_date_columns": (
        "没有找到活动日期列；请在姓名和号码之后每次活动一列，标题写日期。"
        "No date columns were found; give each activity a column, headed by its date."
    ),
}
"""Machine code to message, Chinese first; a code once published keeps its meaning."""


def message(rule: str, **facts: object) -> str:
    """What is wrong and how to mend it; never a personal value."""
    return RULES[rule].format(**facts)
