"""代码表: the closed lists a cell may choose from, with the short forms offices write."""

from __future__ import annotations

# fmt: off
ETHNIC_GROUPS = frozenset((
    "汉族", "蒙古族", "回族", "藏族", "维吾尔族", "苗族", "彝族",
    "壮族", "布依族", "朝鲜族", "满族", "侗族", "瑶族", "白族",
    "土家族", "哈尼族", "哈萨克族", "傣族", "黎族", "傈僳族", "佤族",
    "畲族", "高山族", "拉祜族", "水族", "东乡族", "纳西族", "景颇族",
    "柯尔克孜族", "土族", "达斡尔族", "仫佬族", "羌族", "布朗族", "撒拉族",
    "毛南族", "仡佬族", "锡伯族", "阿昌族", "普米族", "塔吉克族", "怒族",
    "乌孜别克族", "俄罗斯族", "鄂温克族", "德昂族", "保安族", "裕固族", "京族",
    "塔塔尔族", "独龙族", "鄂伦春族", "赫哲族", "门巴族", "珞巴族", "基诺族",
))
# fmt: on
"""The 56 names of GB/T 3304-1991."""

SEXES = {"男": "男", "女": "女", "男性": "男", "女性": "女"}

CATEGORIES = {
    "正式党员": "正式党员",
    "正式": "正式党员",
    "中共党员": "正式党员",
    "预备党员": "预备党员",
    "预备": "预备党员",
    "中共预备党员": "预备党员",
}

MARKS = {
    **dict.fromkeys("√✓✔☑", "present"),
    **dict.fromkeys("#＃", "late"),
    **dict.fromkeys("Oo○〇◯Ｏｏ", "sick"),
    **dict.fromkeys("★☆", "official"),
    **dict.fromkeys("△▲Δ", "personal"),
    **dict.fromkeys("×xX✕✖✗✘", "absent"),
}
"""√到会 #迟到 O病假 ★公假 △事假 ×无故缺席, and how other hands and keyboards write them."""


def ethnic_group(written: str) -> str | None:
    """汉 → 汉族; None for what the list does not have."""
    return next((name for name in (written, f"{written}族") if name in ETHNIC_GROUPS), None)
