"""The words for states that programs print, in every language they are known in, and the titles of their lists.

Owns the spellings that :func:`sockui.model.parse_state` does not know. They are no full catalogue: a word that is not
here makes its line one that is not understood, never another state.
"""

from __future__ import annotations

import re
from functools import lru_cache

from sockui.model import State, parse_state

_WORDS = {
    # Windows, German
    "ABHÖREN": State.LISTEN,
    "HERGESTELLT": State.ESTABLISHED,
    "WARTEND": State.TIME_WAIT,
    "SCHLIESSEN_WARTEN": State.CLOSE_WAIT,
    "SYN_GESENDET": State.SYN_SENT,
    "SYN_EMPFANGEN": State.SYN_RECV,
    "FIN_WARTEN_1": State.FIN_WAIT1,
    "FIN_WARTEN_2": State.FIN_WAIT2,
    # Windows, other languages
    "ESCUCHANDO": State.LISTEN,
    "ESTABLECIDO": State.ESTABLISHED,
    "ПРОСЛУШИВАНИЕ": State.LISTEN,
    # Windows, English
    "DELETE_TCB": State.CLOSE,
    # Linux net-tools: de, pt_BR, cs
    "VERBUNDEN": State.ESTABLISHED,
    "ESTABELECIDA": State.ESTABLISHED,
    "SYN_ENVIADO": State.SYN_SENT,
    "SYN_RECEBIDO": State.SYN_RECV,
    "ESPERA_FIN1": State.FIN_WAIT1,
    "ESPERA_FIN2": State.FIN_WAIT2,
    "FECHAR": State.CLOSE,
    "ESPERANDO_FECHAR": State.CLOSE_WAIT,
    "ÚLTIMO_ACK": State.LAST_ACK,
    "OUÇA": State.LISTEN,
    "FECHANDO": State.CLOSING,
    "SPOJENO": State.ESTABLISHED,
    "ZAVŘEN": State.CLOSE,
    "NASLOUCHÁ": State.LISTEN,
    "ZAVÍRÁ": State.CLOSING,
    # Solaris: opened and not bound; Solaris, Windows and lsof: bound, neither listening nor connected
    "IDLE": State.CLOSE,
    "BOUND": State.CLOSE,
}
_TITLES = {  # the language of a list, by the words of its title
    "German": ("Aktive Verbindungen", "Aktive Internetverbindungen"),
    "French": ("Connexions actives", "Connexions Internet actives"),
    "Spanish": ("Conexiones activas",),
    "Portuguese": ("Conexões ativas", "Ligações activas", "Conexões Internet Ativas"),
    "Italian": ("Connessioni attive",),
    "Russian": ("Активные подключения",),
    "Chinese": ("活动连接", "使用中連線"),
    "Japanese": ("アクティブな接続", "稼働中のインターネット接続"),
    "Czech": ("Aktivní Internetová spojení",),
    "Estonian": ("Aktiivsed internetiühendused",),
    "English": ("Active Connections", "Active Internet connections", "Active LISTEN Internet connections"),
}
_CODE_PAGES = ("cp850", "cp1252", "cp866", "cp1251", "gbk", "cp932", "cp950", "cp437")
_OUTSIDE = re.compile(r"[^\x00-\x7f]+")


def _fold(word: str) -> str:
    """A word whose letters outside ASCII may have been read in any code page."""
    return _OUTSIDE.sub("?", word.upper())


_FOLDED = {_fold(word): state for word, state in _WORDS.items() if _OUTSIDE.sub("", word)}


@lru_cache(maxsize=1024)
def state_of(word: str) -> State | None:
    """A state in any spelling and known language, whatever code page it came through; None if unknown."""
    if len(word) > 40:
        return None
    return parse_state(word) or _WORDS.get(word.upper()) or _FOLDED.get(_fold(word))


def language_of(line: str) -> str | None:
    """The language of a list, if the line is its title (in any of the code pages of Windows); None if it is not."""
    text = line.strip()
    if not text or len(text) > 120:
        return None
    texts = [text]
    if any("\udc80" <= character <= "\udcff" for character in text):
        raw = text.encode("utf-8", "surrogateescape")
        texts += [raw.decode(page, "replace") for page in _CODE_PAGES]
    for language, titles in _TITLES.items():
        if any(each.startswith(titles) for each in texts):
            return language
    return None
