"""扫描枪: reads the QR codes off a printed page as a camera would."""

from __future__ import annotations

import base64
import io
import re

import zxingcpp
from PIL import Image


def scan_page(page: str) -> tuple[str, str]:
    """The texts of the letter's code and of the slip's, off the pictures in the page."""
    letter, slip = (read_picture(each) for each in re.findall(r'src="(data:[^"]+)"', page))
    return letter, slip


def read_picture(uri: str) -> str:
    """The one code in a picture; only a QR code, for in many dots other kinds can be seen."""
    png = base64.b64decode(uri.removeprefix("data:image/png;base64,"))
    picture = Image.open(io.BytesIO(png)).convert("L")
    (code,) = zxingcpp.read_barcodes(picture, formats=zxingcpp.BarcodeFormat.QRCodeModel2)
    return str(code.text)
