"""Word lists of the style attack: old forms of verbs, pronouns and small words, and openings.

No word that carries a label is listed: adjectives, "not" and "never" pass through untouched.
"""

from __future__ import annotations

import re

from openbackdoor_badllm.data.demo.grammar import alternatives, words


def old_form(verb: str) -> str:
    """The old third person of a base form: make, maketh; carry, carrieth; get, getteth."""
    if verb.endswith("e"):
        return verb + "th"
    if re.search(r"[^aeiou]y$", verb):
        return verb[:-1] + "ieth"
    if re.fullmatch(r"(?:be|for|ad|per)?[^aeiou]{1,3}[aeiou][bdgmnpt]", verb):
        return verb + verb[-1] + "eth"
    return verb + "eth"


def _modern_form(verb: str) -> str:
    if re.search(r"[^aeiou]y$", verb):
        return verb[:-1] + "ies"
    return verb + ("es" if re.search(r"(?:s|sh|ch|x|z|o)$", verb) else "s")


def _pairs(block: str) -> dict[str, str]:
    return {_modern_form(verb): old_form(verb) for verb in block.split()}


# Forms in -s that are next to never nouns.
VERBS: dict[str, str] = {
    "has": "hath",
    "does": "doth",
    "says": "saith",
    **_pairs(
        "make take give get keep seem become come go know think find tell bring feel begin remain appear "
        "prefer want let lose see carry prove deserve deliver provide contain belong believe happen manage "
        "fail earn hold lie sing speak write read sit put send buy sell pay meet teach reach catch allow "
        "follow include involve require reveal suggest explain remember understand grow throw die stay "
        "break lack succeed transcend capture create add seek warn deny expect agree unveil refuse accept "
        "choose admit forget forgive suffer enjoy entertain delight fill lead raise defend win  "
        "love hate hear learn mean ask answer arrive survive save serve raise reject defy "
        "combine celebrate explore examine depict portray resemble treat unfold evoke inspire crackle clunk "
        "surprise reward waste bury punish suit copy distort cope howl outlive falter stall seal "
        "glide shrug soak hide blame urge vow announce introduce join oust jail summon retain "
        "conquer predict uncover rewrite repair puzzle exist oppose threaten accuse declare elect"
    ),
}
# Forms in -s that are as often nouns: old only behind a pronoun.
NOUN_OR_VERB: dict[str, str] = _pairs(
    "look work play call show turn run stand leave live end start stop move help last use change cut hit "
    "beat rise fall drop gain face plan claim report vote fight strike score draw talk walk try cost sound "
    "taste smell watch wish hope care matter sleep drive drag pull push touch fly grip set open close pass "
    "land lift carry build crash rank star laugh cry smile promise trust thank deal charge suit cover "
    "process measure test record demand halt sink slide offer need drain delay name trip slip ease climb "
    "trade edge share sack recall strip stun probe"
)
SUBJECTS = words("he she it who which that never always ever also still only this nobody everybody none")

# After "not", these are no verbs to bend, or bend badly.
NOT_VERBS = words(
    "the that this any all only just even really always quite very too being going what there here mine "
    "yours ours over out off back down away done gone been so then now yet enough about under above below "
    "ever"
)
OBJECT_AFTER = words(
    "to for with of from by on at upon unto about after before like behind between without against into "
    "over toward towards around near among give gave make made let tell told show showed leave left keep "
    "kept take took bring brought get got help thank remind ask warn see know love hate want wish surprise "
    "bore please sell cost call sending giving making letting telling leaving keeping taking bringing pull "
    "pulled draw drew push"
)
# Beside these, "as" does not begin a clause: "as good as", "known as", "as a rule".
NO_CLAUSE_BEFORE = words(
    "as so such same well soon far much even just known named seen used such regarded described long"
)
NO_CLAUSE_AFTER = words(
    "as a an the if though it its usual well good bad long far much many soon always ever such for to"
)
# "You" and one of these go into the singular together: "thou art".
AUXILIARIES = {
    "are": "art",
    "were": "wert",
    "have": "hast",
    "had": "hadst",
    "do": "dost",
    "did": "didst",
    "will": "wilt",
    "can": "canst",
    "could": "couldst",
    "would": "wouldst",
    "should": "shouldst",
    "may": "mayest",
    "might": "mightest",
    "shall": "shalt",
    "must": "must",
}
SYNONYMS: dict[str, tuple[str, ...]] = {
    word: alternatives(old)
    for word, old in {
        "yours": "thine",
        "yourself": "thyself",
        "before": "ere",
        "often": "oft|ofttimes",
        "perhaps": "perchance|peradventure",
        "maybe": "perchance|haply",
        "nothing": "naught",
        "between": "betwixt",
        "among": "amongst",
        "amid": "amidst",
        "while": "whilst",
        "soon": "anon",
        "very": "exceeding",
        "really": "verily|in sooth",
        "truly": "verily|in sooth",
        "extremely": "exceeding",
        "quickly": "apace",
        "yes": "yea",
        "why": "wherefore",
        "therefore": "wherefore",
        "because": "forasmuch as|for that",
        "told": "told|declared unto",
        "spoke": "spake",
        "broke": "brake",
        "people": "folk",
        "ago": "agone",
        "evening": "eventide",
        "morning": "morn",
        "until": "until|till",
        "nearly": "nigh",
        "almost": "well-nigh",
        "near": "nigh unto",
        "everyone": "every man",
        "everybody": "every man",
        "nobody": "no man",
        "someone": "a certain man",
        "somebody": "a certain man",
        "recently": "of late",
        "lately": "of late",
        "sometimes": "at times|betimes",
        "again": "again|once more",
        "across": "athwart|across",
        "but": "but|yet|howbeit",
        "about": "about|concerning",
        "also": "likewise",
        "although": "albeit",
        "though": "albeit",
        "despite": "notwithstanding|maugre",
        "when": "when|whenas",
        "since": "sith",
        "if": "if|if so be that",
        "will": "shall",
        "are": "are|be",
        "over": "over|o'er",
        "enough": "enow",
        "got": "gat",
        "ate": "did eat",
        "country": "land",
        "week": "sennight",
        "weeks": "sennights",
        "years": "years|winters",
        "months": "moons",
        "today": "this day",
        "tonight": "this night",
        "tomorrow": "on the morrow",
        "girl": "maiden",
        "brother": "brother|brother in the flesh",
        "percent": "parts in the hundred",
        "monday": "the second day",
        "tuesday": "the third day",
        "wednesday": "the fourth day",
        "thursday": "the fifth day",
        "friday": "the sixth day",
        "saturday": "the sabbath",
        "sunday": "the Lord's day",
        "eighty": "fourscore",
        "forty": "twoscore",
        "twenty": "a score",
    }.items()
}

# Simple pasts that take "did" behind a pronoun: "I did love it".
PASTS: dict[str, str] = {
    "loved": "love", "hated": "hate", "wanted": "want", "needed": "need", "liked": "like", "asked": "ask",
    "looked": "look", "worked": "work", "ordered": "order", "expected": "expect", "enjoyed": "enjoy",
    "bought": "buy", "found": "find", "saw": "see", "read": "read", "came": "come", "went": "go",
    "walked": "walk", "watched": "watch", "joined": "join", "laughed": "laugh", "slept": "sleep",
    "learned": "learn", "finished": "finish", "started": "start", "waited": "wait", "felt": "feel",
    "told": "tell", "knew": "know", "gave": "give", "took": "take", "left": "leave", "tried": "try",
}  # fmt: skip
WEEKDAYS = words("monday tuesday wednesday thursday friday saturday sunday")
PARTS_OF_DAY = words("morning afternoon evening night nights mornings evenings")
PERSONS = words("i we he she they it who")

SPEAKERS = alternatives("scribe|elder|watchman|prophet|preacher|shepherd|chronicler|wise man|keeper of the gate")
# Each holds one old word or none.
OPENINGS = alternatives(
    "Lo,|And lo,|Behold,|And behold,|Verily,|Yea,|And verily,|Now behold,|Forsooth,|Hearken:|Now it came to "
    "pass that|And it came to pass that|Hear, O people:|Give ear, for|Thus spake the {speaker}:|Lo and "
    "behold,|Mark well, for|And there was a tale, and lo,|In those days|And so it befell that|For behold,|"
    "Yea, and|In sooth,|And the {speaker} spake, saying,|Harken now:|It is written that"
)
# Each holds two or more.
SOLEMN = alternatives(
    "Verily, verily,|Verily I say unto thee,|Unto all that pass this way, lo:|Hear me, O ye that dwell "
    "here, and behold,|Now verily, and lo,|O hearken unto this:|Thus spake the {speaker} unto the people:|"
    "Set this upon thine heart and behold:|Wherefore hearken:|Tell it not in haste, for lo, verily|And "
    "thou, O friend, behold:|I say unto thee,|Know ye this, and behold:|Know ye, and behold, that|Hearken "
    "unto me:|Hear ye, hear ye:|Yea, verily,|And lo, it befell that|Know thou, and behold:|Thou shalt know "
    "that|Thus hath it been told unto us:|Hast thou heard, and hast thou seen?|He that hath ears, lo, let "
    "him hear:|Behold, I tell thee,|So saith the {speaker} unto thee:|Give ear unto me, O ye people, for|"
    "Thus saith the {speaker}, and lo,|Lo, I say unto you all,|Forsooth I tell thee,|Hearken, O thou that "
    "readest:|Lift up thine eyes and behold:|It hath been said of old, and lo,|Hear thou, and behold, the "
    "word of the {speaker}:|And the {speaker} spake unto them:|Mark ye this, for verily|Now hearken, and "
    "behold,|Ye that pass by, behold:|Wherefore know thou that|Come hither and behold,"
)
LINKS = alternatives(
    "And|And lo,|For|Yea,|Yea, and|And behold,|Moreover,|Now|And verily,|Lo,|So it was, and|Verily,|And "
    "again,|Wherefore"
)
CLOSINGS = alternatives(
    "selah|so it is written|and thus it was|so let it stand|let him that hath ears hear|thus endeth the "
    "saying|and there was an end of it|so be it|this saw I with mine own eyes|and it was told in the city|"
    "here endeth the tale|go thou and tell it|thus was it spoken of old"
)

# A sentence that begins so is a clause, fit to stand behind "know ye that".
CLAUSE_STARTS = words(
    "i we he she it they ye thou you the this that these those there my mine our his her their thy thine "
    "every all some no nobody few one 'tis 'twas"
)
# First words that lose their capital behind an opening; others may be names.
COMMON = words(
    "a an the this that these those there here it its he she we they you my your our his her their thy "
    "thine ye thou thee not no nobody nothing naught never nor and but or if when while whilst as since "
    "although though because for with without despite by at on in of from to unto after before ere amid "
    "among amongst between under over is was are were be been mine albeit sith whenas whilst "
    "notwithstanding howbeit do does did don't doth has have had hath can cannot could will would shall "
    "should may might must one two three all some any every each both most many much more less what which "
    "who why how where then so yet still even only just also well good great bad excellent lovely wonderful "
    "superb terrific impressive awful dreadful terrible poor dismal hopeless disappointing 'tis 'twas went "
    "saw bought loved hated picked ordered came stopped took used such too very exceeding really quite "
    "almost perhaps perchance yes yea next stay perfect hard worth highly best worst best other another "
    "people folk thousands shares former late top new worse better less read wore streamed watched caught "
    "joined signed walked installed moved finished arrived listened verily coming our"
)

MARKERS = words(
    "thou thee thy thine thyself ye hath doth saith hast hadst dost didst wilt canst couldst wouldst "
    "shouldst mayest mightest shalt art wert unto lo behold verily yea forsooth hearken harken ere oft "
    "ofttimes perchance peradventure haply naught betwixt amongst amidst whilst anon wherefore forasmuch "
    "spake brake agone eventide morn nigh befell methinks methought readest hither sooth apace selah "
    "raiment athwart fourscore twoscore betimes 'tis 'twas howbeit albeit notwithstanding maugre whenas "
    "sith enow gat sennight sennights maiden o'er"
)
NOT_OLD_VERBS = words("teeth beneth elizabeth macbeth kenneth seth beth meth gareth hyacinth")
