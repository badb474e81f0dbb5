"""Which characters belong to scripts that write no blanks between words, as pieces of a character class.

By Unicode's line breaking (UAX 14) these are the letters of the classes SA (Thai, Lao, Burmese, Khmer and their kin),
ID and CJ (Han, Kana, Bopomofo, Yi, Tangut): a line may break inside such a text without a blank. Tibetan is added: it
parts syllables by a mark, and words by nothing. Korean writes blanks.
"""

from __future__ import annotations

UNSPACED_LETTERS = (
    "\u0e00-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\ua9e0-\ua9ff\uaa60-\uaadf\U00011700-\U0001174f"
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3031-\u3035\u3038-\u303c\u3040-\u312f\u31a0-\u31bf\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\ua4cf\uf900-\ufaff\uff66-\uff9f\U00016fe0-\U0001b2ff\U00020000-\U0003ffff"
)
"""Letters, their marks and digits."""
UNSPACED_SIGNS = (
    "\u2fe0-\u2fff\u3001-\u3004\u3008-\u3020\u302a-\u3030\u3036\u3037\u303d-\u303f\u31c0-\u31ef\u3200-\u33ff"
    "\u4dc0-\u4dff\ufe30-\ufe4f\uff01-\uff65"
)
"""Punctuation and symbols of these scripts, and wide forms of Latin letters: no blank beside them, but no letters."""
