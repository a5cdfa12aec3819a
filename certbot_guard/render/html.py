"""A message as the HTML part of a mail: one column, nothing fetched, legible at four in the morning. Pure.

Apprise makes the text part from it, and so that it reads like the master: no blank between tags, one element for each
line, ``<br>`` inside ``<pre>`` (Apprise 1.x turns every white space into one blank, and a blank between two elements into
an empty line; measured on 1.2.0, 1.9.0 and 2.3.0). Colours stand in the elements, since some clients drop the style
sheet; that one only adds the dark ones.
"""

from __future__ import annotations

from html import escape

from certbot_guard.render import layout

_COLOURS = {"critical": "#c62828", "warning": "#b45f06", "info": "#2e7d32"}
_DARK_COLOURS = {"critical": "#ff8a80", "warning": "#ffb74d", "info": "#81c784"}
_WORDS = {"critical": "CRITICAL", "warning": "WARNING", "info": "OK"}
_FONT = "-apple-system,BlinkMacSystemFont,'Segoe UI',Roboto,Helvetica,Arial,'DejaVu Sans',sans-serif"
_MONOSPACED = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace"
_EMPTY_LINE = '<div style="font-size:10px;line-height:14px"><br></div>'
_PARAGRAPH = '<p style="margin:0 0 6px 0">'
_DARK = ("@media (prefers-color-scheme:dark){"
         "body,.page{background:#14171a!important}"
         ".card{background:#1d2125!important;color:#e6e8ea!important}"
         ".card p,.card b{color:#e6e8ea!important}"
         ".less,.less p,.less b,.more{color:#b3bac1!important}"
         ".card pre{background:#14171a!important;color:#d5dade!important}"
         ".mark{color:#7d868e!important}"
         ".card a{color:#8ab4f8!important}"
         ".rule{border-color:#3a4147!important}"
         "%s}"
         "@media (max-width:480px){.page{padding:0!important}.card{border-radius:0!important}}")


def render(title: str, severity: str, body: str) -> str:
    """The page; ``title`` is only its title, since the subject of the mail says it."""
    severity = severity if severity in _COLOURS else "warning"
    return "".join([
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><meta name="supported-color-schemes" content="light dark">'
        f"<title>{escape(title)}</title><style>{_DARK % _dark(severity)}</style></head>"
        '<body style="margin:0;padding:0;background:#eef0f2">'
        '<div class="page" style="background:#eef0f2;padding:16px">'
        '<div class="card" style="max-width:640px;margin:0 auto;box-sizing:border-box;padding:18px 20px 22px 20px;'
        f"background:#ffffff;color:#1f2328;border-top:6px solid {_COLOURS[severity]};border-radius:6px;"
        f'font-family:{_FONT};font-size:16px;line-height:1.5;overflow-wrap:anywhere;word-break:break-word">',
        _severity(severity), *_blocks(layout.blocks(body)), "</div></div></body></html>"])


def _severity(severity: str) -> str:
    # Text that stands directly in a list is not taken over into the text part (Apprise, conversion: IGNORE_TAGS), which
    # begins with the state of the site; the subject has this word already.
    return (f'<ul class="severity" style="margin:0 0 4px 0;padding:0;list-style:none;font-size:13px;font-weight:bold;'
            f'letter-spacing:1px;color:{_COLOURS[severity]}">{_WORDS[severity]}</ul>')


def _dark(severity: str) -> str:
    colour = _DARK_COLOURS[severity]
    return f".severity{{color:{colour}!important}}.card{{border-top-color:{colour}!important}}"


def _blocks(blocks: list[layout.Block]) -> list[str]:
    shown: list[str] = []
    inside = False
    for number, block in enumerate(blocks):
        if number:
            shown.append(_EMPTY_LINE)
        if block.details and not inside:
            inside = True
            shown.append('<div class="less rule" style="border-top:1px solid #d0d7de;padding-top:12px;font-size:14px;'
                         'color:#57606a">')
        shown += _lines(block.lines)
    return shown + ["</div>"] * inside


def _lines(lines: tuple[layout.Line, ...]) -> list[str]:
    shown: list[str] = []
    words: list[str] = []
    for place, line in enumerate(lines):
        if line.kind == layout.WORDS:
            words.append(f'<span class="mark" style="color:#8c959f">| </span>{escape(line.text)}')
            if place + 1 == len(lines) or lines[place + 1].kind != layout.WORDS:
                shown.append(_pre(words))
                words = []
        else:
            shown.append(_line(line))
    return shown


def _line(line: layout.Line) -> str:
    if line.kind == layout.STATE:
        return ('<p class="state" style="margin:0;font-size:20px;line-height:1.35;font-weight:bold">'
                f"{_linked(line.text)}</p>")
    if line.kind == layout.HEADING:
        return f'{_PARAGRAPH}<strong>{escape(line.text)}</strong></p>'
    if line.kind == layout.LABEL:
        return f"{_PARAGRAPH}<strong>{escape(line.label)}:</strong> {_linked(line.text)}</p>"
    if line.kind == layout.MORE:
        return (f'<p class="more" style="margin:-4px 0 6px 0;padding-left:16px;color:#57606a;font-size:15px">'
                f"{_linked(line.text)}</p>")
    return f"{_PARAGRAPH}{_linked(line.text)}</p>"


def _pre(words: list[str]) -> str:
    return (f'<pre style="margin:0 0 8px 0;padding:10px 12px;background:#f3f4f6;color:#1f2328;border-radius:4px;'
            f"font-family:{_MONOSPACED};font-size:13px;line-height:1.5;white-space:pre-wrap;overflow-wrap:anywhere;"
            f'word-break:break-word">{"<br>".join(words)}</pre>')


def _linked(words: str) -> str:
    return "".join(f'<a href="{escape(piece)}" style="color:#0b57d0">{escape(piece)}</a>' if is_link else escape(piece)
                   for piece, is_link in layout.links(words))
