"""Text → expression: a small LALR grammar with bounds on everything.

Every refusal says where, and what would have worked. Text ≤ 16 KiB (as written and in canonical form), nesting ≤ 100,
lists ≤ 1,000: the bounds are checked while reading, so a bomb costs no more than its first 100 parentheses.
"""

from __future__ import annotations

import difflib
import json
import re
from typing import TYPE_CHECKING, Any, NoReturn, cast

import lark
from lark import Lark, Token, Transformer

from libs.contracts.names import LABEL_KEY, NAME
from libs.selection.canonical import canonical
from libs.selection.errors import SelectionError
from libs.selection.expression import (
    KEYWORDS,
    NUMBER,
    VALUE_CHARACTERS_MAX,
    And,
    Compared,
    Everything,
    Expression,
    HasLabel,
    InGroup,
    InNamespace,
    Labelled,
    LabelLike,
    Named,
    NameLike,
    Not,
    Nothing,
    Or,
    Span,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

TEXT_BYTES_MAX = 16 * 1024
NESTING_MAX = 100
LIST_MAX = 1_000
_EXPANSION_MAX = 6  # one unprintable character becomes \uXXXX in canonical form

_GRAMMAR = r"""
start: disjunction
?disjunction: conjunction ("or" conjunction)*
?conjunction: negation ("and" negation)*
?negation: NOT negation | "(" disjunction ")" | term
?term: PATH | NONE | has | comparison | membership | exclusion | likeness
has: HAS "(" subject ")"
comparison: subject OPERATOR value
membership: subject "in" "(" value ("," value)* ")"
exclusion: subject "not" "in" "(" value ("," value)* ")"
likeness: subject "like" value
subject: NAME | WORD | STRING
?value: WORD | STRING

NOT: "not"
NONE: "none"
HAS: "has"
NAME: "name"
PATH: /\/(?:"(?:[^"\\]|\\.)*"|[^\s(),"=<>!])*/
OPERATOR: /[=<>!~]+/
STRING: /"(?:[^"\\]|\\.)*"/s
WORD: /[\w+.-][\w.:\/+@-]*/
%ignore /\s+/
"""

_LABEL_PATH = re.compile(r'/m/("(?:[^"\\]|\\.)*"|[^"]+)/("(?:[^"\\]|\\.)*"|[^"/]+)', re.DOTALL)


def parse(text: str) -> Expression:
    """Return the tree of `text` as written.

    Raises:
        SelectionError: what is wrong, where, and the nearest thing that would have worked.
    """
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > TEXT_BYTES_MAX:
        raise SelectionError(f"an expression has at most {TEXT_BYTES_MAX} bytes; this one has {size}", 0)
    try:
        expression: Expression = _PARSER.parse(text)  # type: ignore[assignment]  # lark returns what the transformer makes of the tree
    except lark.UnexpectedToken as problem:
        raise _unexpected(problem, text) from None
    except lark.UnexpectedCharacters as problem:
        raise _unreadable(problem, text) from None
    if size > TEXT_BYTES_MAX // _EXPANSION_MAX and len(canonical(expression).encode()) > TEXT_BYTES_MAX:
        raise SelectionError(f"an expression has at most {TEXT_BYTES_MAX} bytes in its canonical form", 0)
    return expression


def _refuse(message: str, token: Token, nearest: str | None = None, offset: int = 0) -> NoReturn:
    raise SelectionError(message, (token.start_pos or 0) + offset, nearest)


def _span(first: Any, last: Any) -> Span:
    start = cast("int", first.start_pos) if isinstance(first, Token) else first.span[0]
    end = cast("int", last.end_pos) if isinstance(last, Token) else last.span[1]
    return (start, end)


def _text(token: Token) -> str:
    """Return what a word or a quoted text says; quoted text is written like a JSON string."""
    text = str(token)
    if token.type == "STRING":
        try:
            text = json.loads(text)
            text.encode()
        except ValueError:
            _refuse("quoted text is written like a JSON string: this escape or control character is not allowed", token)
    if len(text) > VALUE_CHARACTERS_MAX:
        _refuse(f"a value has at most {VALUE_CHARACTERS_MAX} characters", token)
    return text


def _number(token: Token) -> str:
    """Return the shortest text of the same decimal number."""
    text = _text(token)
    if not NUMBER.fullmatch(text):
        _refuse(f"{token} is not a decimal number; text is compared with =, !=, in and like", token)
    whole, _, fraction = text.lstrip("+-").partition(".")
    whole, fraction = whole.lstrip("0") or "0", fraction.rstrip("0")
    plain = f"{whole}.{fraction}" if fraction else whole
    return f"-{plain}" if text.startswith("-") and plain != "0" else plain


def _key(token: Token) -> str:
    key = _text(token)
    if not LABEL_KEY.fullmatch(key):
        _refuse(f"{token} is not a label key: letters, digits, '.', '_', '/' and '-', at most 63", token)
    return key


def _cluster(token: Token, name: str, offset: int = 0) -> str:
    if not NAME.fullmatch(name):
        _refuse(f"{name} is not a cluster name: lower-case letters, digits and '-', at most 63", token, offset=offset)
    return name


class _Tree(Transformer[Token, Any]):
    """Builds the tree while the parser reduces, so that no second walk is needed."""

    def start(self, children: list[Any]) -> Any:
        return children[0]

    def disjunction(self, children: list[Any]) -> Or:
        return Or(tuple(children), _span(children[0], children[-1]))

    def conjunction(self, children: list[Any]) -> And:
        return And(tuple(children), _span(children[0], children[-1]))

    def negation(self, children: list[Any]) -> Not:
        word, operand = children
        return Not(operand, _span(word, operand))

    def PATH(self, token: Token) -> Expression:  # noqa: N802  (a lark callback is named after its terminal)
        return _path(token)

    def NONE(self, token: Token) -> Nothing:  # noqa: N802  (the same)
        return Nothing(_span(token, token))

    def subject(self, children: list[Token]) -> Token:
        return children[0]

    def has(self, children: list[Token]) -> HasLabel:
        word, subject = children
        if subject.type == "NAME":
            _refuse('every cluster has a name; for a label of that key write has("name")', subject, 'has("name")')
        return HasLabel(_key(subject), _span(word, subject))

    def comparison(self, children: list[Token]) -> Expression:
        subject, operator, value = children
        span = _span(subject, value)
        match str(operator):
            case "=":
                return self._among(subject, [value], span)
            case "!=":
                return Not(self._among(subject, [value], span), span)
            case ">=" | "<=" | ">" | "<":
                if subject.type == "NAME":
                    _refuse("a name is compared with =, !=, in and like", operator)
                return Compared(_key(subject), str(operator), _number(value), span)
            case wrong:
                nearest = {"==": "=", "<>": "!=", "=>": ">=", "=<": "<=", "!": "!="}.get(wrong)
                _refuse(f"{wrong} is not an operator: = != >= <= > < in like", operator, nearest)

    def membership(self, children: list[Token]) -> Expression:
        return self._among(children[0], children[1:], _span(children[0], children[-1]))

    def exclusion(self, children: list[Token]) -> Expression:
        return Not(self.membership(children), _span(children[0], children[-1]))

    def likeness(self, children: list[Token]) -> Expression:
        subject, pattern = children
        span = _span(subject, pattern)
        if subject.type == "NAME":
            return NameLike(_text(pattern), span)
        return LabelLike(_key(subject), _text(pattern), span)

    def _among(self, subject: Token, values: list[Token], span: Span) -> Expression:
        if subject.type == "NAME":
            names = tuple(_cluster(value, _text(value)) for value in values)
            return Named(names, span, tuple(value.start_pos or 0 for value in values))
        return Labelled(_key(subject), tuple(map(_text, values)), span)


def _path(token: Token) -> Expression:
    text, span = str(token), _span(token, token)
    match text[:3]:
        case "/g/":
            parts = text[3:].split("/")
            for at, part in enumerate(parts):
                if not NAME.fullmatch(part):
                    _refuse(
                        "a group path is names of lower-case letters, digits and '-' with '/' between",
                        token,
                        offset=3 + len("/".join(parts[:at])) + (at > 0),
                    )
            return InGroup(text[2:], span)
        case "/n/":
            if not NAME.fullmatch(text[3:]):
                _refuse("a namespace's name is lower-case letters, digits and '-', at most 63", token, offset=3)
            return InNamespace(text[3:], span)
        case "/c/" if text == "/c/*":
            return Everything(span)
        case "/c/":
            return Named((_cluster(token, text[3:], 3),), span, (span[0],))
        case "/m/":
            return _label_path(token, span)
        case _:
            _refuse("a path begins with /g/ (group), /m/ (label), /c/ (cluster) or /n/ (namespace)", token)


def _label_path(token: Token, span: Span) -> Labelled:
    """Read `/m/<key>/<value>`: the value is what follows the last slash, unless it is quoted."""
    found = _LABEL_PATH.fullmatch(str(token))
    if found is None:
        _refuse("a label path is /m/<key>/<value>; quote a value that holds '/'", token)
    parts = []
    for group in (1, 2):
        part = found.group(group)
        kind = "STRING" if part.startswith('"') else "WORD"
        at = (token.start_pos or 0) + found.start(group)
        parts.append(Token(kind, part, start_pos=at, end_pos=at + len(part)))
    return Labelled(_key(parts[0]), (_text(parts[1]),), span)


class _Bounds:
    """Passes tokens on while parentheses and `not` are at most `NESTING_MAX` deep and lists at most `LIST_MAX` long."""

    always_accept: tuple[str, ...] = ()

    def process(self, tokens: Iterator[Token]) -> Iterator[Token]:
        depth, commas = 0, 0
        outer: list[int] = []
        for token in tokens:
            if token.type == "LPAR":
                outer.append(depth)
                depth, commas = depth + 1, 0
            elif token.type == "COMMA":
                commas += 1
            elif token.type == "NOT":
                depth += 1
            elif token.type == "RPAR":
                depth = outer.pop() if outer else 0
            elif token.type in ("AND", "OR"):
                depth = outer[-1] + 1 if outer else 0
            if commas >= LIST_MAX:
                _refuse(f"a list has at most {LIST_MAX} values", token)
            if depth > NESTING_MAX:
                _refuse(f"parentheses and not are nested more than {NESTING_MAX} deep", token)
            yield token


_WORDS = {
    **{word.upper(): word for word in KEYWORDS},
    "LPAR": '"("',
    "RPAR": '")"',
    "COMMA": '","',
    "OPERATOR": "an operator",
    "WORD": "a word",
    "STRING": "a quoted text",
    "PATH": "a path",
    "$END": "the end",
}


def _expected(terminals: set[str]) -> str:
    """Return what may stand there, for the user."""
    return "a term" if "PATH" in terminals else " or ".join(sorted(_WORDS.get(name, name) for name in terminals))


_WORD_AS_KEY = re.compile(
    r"(?<![\w.:/+@\"-])(not|has|none)\s*(?:[=<>!~]+|(?:not\s+)?in\s*\(|like\s+[^\s=<>!~])", re.IGNORECASE
)


def _word_as_key(text: str, position: int) -> SelectionError | None:
    """Return the error of a word of the language that stands where a label's key was meant, about a position."""
    for found in _WORD_AS_KEY.finditer(text):
        if found.start() <= position <= found.end():
            word = found[1]
            return SelectionError(
                f"{word} is a word of the language, so a label of that key is written in quotes",
                found.start(),
                f'"{word}"',
            )
    return None


def _unexpected(problem: lark.UnexpectedToken, text: str) -> SelectionError:
    token = problem.token
    if token.type != "$END" and (meant := _word_as_key(text, token.start_pos or 0)) is not None:
        return meant
    allowed = set(problem.accepts or problem.expected)
    expected = _expected(allowed)
    if token.type == "$END":
        found = "the expression is empty" if not text.strip() else "the expression ends too early"
        return SelectionError(f"{found}; expected {expected}", len(text.rstrip()))
    keywords = [_WORDS[name] for name in allowed if _WORDS.get(name) in KEYWORDS]
    nearest = difflib.get_close_matches(str(token).lower()[:20], keywords, 1, 0.6)
    return SelectionError(f"{token} is not expected here; expected {expected}", token.start_pos, *nearest)


def _unreadable(problem: lark.UnexpectedCharacters, text: str) -> SelectionError:
    position = cast("int", problem.pos_in_stream)
    character = text[position]
    if character == '"' and not re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL).match(text, position):
        return SelectionError("this quote is not closed", position)
    expected = _expected(set(problem.allowed))
    shown = character if character.isprintable() else json.dumps(character)
    return SelectionError(f"{shown} is not expected here; expected {expected}", position)


_PARSER = Lark(
    _GRAMMAR,
    parser="lalr",
    lexer="contextual",
    transformer=_Tree(),
    postlex=_Bounds(),
    maybe_placeholders=False,
)
