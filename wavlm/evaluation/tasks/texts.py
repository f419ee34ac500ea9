"""Texts of Common Voice as SUPERB-SG normalizes them, by language.

Source of the rules: s3prl, downstream/ctc/corpus/common_voice_preprocess.py.
"""

from __future__ import annotations

import string
import unicodedata

APOSTROPHE = "'"
MARKS = (set(string.punctuation) - {APOSTROPHE}) | set(
    "\u300c\u300d\u3001\u22ef\u3002\u300a\u300b\u4e36\u2013\u2014\u2015\u2018\u201c\u201d\u300e\u300f\u301c\u30fc\u30fb"
    "\u262d\u00ab\u00bb\u060c\u061b\u061f\u2010\u2212\u00a1\u00bf\u02d0\u0301\u00b7\u00d7\u0303\u030c\u2500\u3008\u3009"
)
SAME = str.maketrans(dict.fromkeys(MARKS, " ") | {"\u2019": APOSTROPHE, "\u3127": "\u4e00"})  # a stroke for "one"
FOREIGN = {  # letters of other writing systems that the published lists of recordings avoid
    "es": frozenset("\u3057\u3089\u30b4\u30df\u30e0\u30e9\u6d88\u7bb1\u826f"),
    "ar": frozenset(string.ascii_letters + APOSTROPHE),
    "zh-CN": frozenset(string.ascii_letters + APOSTROPHE + "\u039c\u0418\u0422\u30aa\u30ab\u30c9\u30e4\u4d15"),
}


def normalize_text(text: str, language: str) -> str:
    """The text as it is recognized; empty if the recording is left out."""
    plain = unicodedata.normalize("NFKC", text).upper().translate(SAME)
    if FOREIGN[language] & set(plain):
        return ""
    return ("" if language == "zh-CN" else " ").join(plain.split())
