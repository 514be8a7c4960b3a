"""A run as one page that opens by itself: what was answered over time, the faults below it, the verdict."""

import html
import math
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tests.chaos.journal import Attempt
from tests.chaos.run import Verdict

BARS = 120  # at most
WIDTH, LEFT, PLOT, ROW = 1000, 170, 220, 16
SHOWN_FINDINGS = 200
# What became of an attempt, from the bottom of a bar to its top; the first two can be told apart without colours too.
FATES = {"done": "#2f6fab", "refused": "#e0a030", "unknown": "#c23b3b"}
PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}: {verdict}</title>
<style>
:root {{ color-scheme: light dark }}
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 1040px; margin: 2em auto; padding: 0 1em }}
svg {{ width: 100%; height: auto }} text {{ font-size: 11px; fill: currentColor }}
table {{ border-collapse: collapse }} td, th {{ padding: .1em 1em .1em 0; text-align: left }}
.verdict {{ border-left: 6px solid {colour}; padding-left: .8em }}
</style>
<h1 class="verdict">{verdict}</h1>
<p>{summary}</p>
{picture}
<p>{legend}</p>
{findings}
<h2>Faults</h2>
<table><tr><th>kind<th>times<th>seconds, median</tr>{faults}</table>
<p>Once more, beginning with the same wishes and faults: <code>{command}</code></p>
</html>
"""


def write(verdict: Verdict, path: Path, *, title: str, command: str) -> None:
    """Write the page of a run, which `command` begins once more."""
    broken = verdict.findings
    headline = f"{len(broken)} promises broken" if broken else verdict.invalid or "nothing lost, nothing oversold"
    path.write_text(
        PAGE.format(
            verdict=html.escape(headline),
            colour="#2e8b57" if not broken and not verdict.invalid else "#c23b3b",
            summary=html.escape(verdict.summary),
            picture=_picture(verdict),
            legend=" ".join(f'<span style="color:{colour}">&#9632;</span> {fate}' for fate, colour in FATES.items()),
            findings=_findings(broken),
            faults="".join(_fault_row(verdict, kind) for kind in sorted({fault.kind for fault in verdict.faults})),
            title=html.escape(title),
            command=html.escape(command),
        )
    )


def _picture(verdict: Verdict) -> str:
    seconds = verdict.ended - verdict.began
    width = max(1, math.ceil(seconds / BARS))  # of a bar, in seconds
    attempts = [attempt for entry in verdict.entries.values() if entry.operation.writes for attempt in entry.attempts]
    bars = Counter((int((attempt.got - verdict.began) // width), _fate(attempt)) for attempt in attempts if attempt.got)
    count = math.ceil(seconds / width)
    highest = max((sum(bars[bar, fate] for fate in FATES) for bar in range(count)), default=1) or 1
    kinds = sorted({fault.kind for fault in verdict.faults})
    height = PLOT + 40 + ROW * len(kinds)
    scale = (WIDTH - LEFT - 10) / seconds
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="Writes answered over time, and the faults below">',
        *_axes(seconds, highest / width, scale),
    ]
    for bar in range(count):
        top = float(PLOT)
        for fate, colour in FATES.items():
            tall = bars[bar, fate] / highest * (PLOT - 20)
            top -= tall
            place = f'x="{LEFT + bar * width * scale:.1f}" y="{top:.1f}" width="{width * scale * 0.9:.1f}"'
            parts.append(f'<rect {place} height="{tall:.1f}" fill="{colour}"/>')
    for row, kind in enumerate(kinds):
        line = PLOT + 40 + row * ROW
        parts.append(f'<text x="0" y="{line + 4}">{kind.replace("_", " ")}</text>')
        for fault in verdict.faults:
            if fault.kind == kind:
                left, right = ((moment - verdict.began) * scale for moment in (fault.began, fault.ended))
                parts.append(
                    f'<rect x="{LEFT + left:.1f}" y="{line - 5}" width="{max(2, right - left):.1f}" height="10" '
                    f'fill="#888"><title>{html.escape(f"{kind}: {fault.what}")}</title></rect>'
                )
    return "\n".join([*parts, "</svg>"])


def _axes(seconds: float, highest: float, scale: float) -> Iterable[str]:
    yield f'<text x="0" y="20">writes answered a second</text><text x="{LEFT - 30}" y="34">{highest:.0f}</text>'
    yield f'<line x1="{LEFT}" y1="{PLOT}" x2="{WIDTH}" y2="{PLOT}" stroke="currentColor" stroke-width=".5"/>'
    step = 10 ** max(1, math.floor(math.log10(max(10, seconds))))
    for mark in range(0, int(seconds) + 1, step // 2):
        yield f'<text x="{LEFT + mark * scale:.1f}" y="{PLOT + 16}">{mark} s</text>'


def _fate(attempt: Attempt) -> str:
    if attempt.is_done:
        return "done"
    return "refused" if attempt.is_decided else "unknown"


def _findings(findings: list[str]) -> str:
    if not findings:
        return ""
    shown = "".join(f"<li>{html.escape(finding)}</li>" for finding in findings[:SHOWN_FINDINGS])
    return f"<h2>Broken promises</h2><ol>{shown}</ol>"


def _fault_row(verdict: Verdict, kind: str) -> str:
    lengths = sorted(fault.ended - fault.began for fault in verdict.faults if fault.kind == kind)
    cells = (kind.replace("_", " "), str(len(lengths)), f"{lengths[len(lengths) // 2]:.1f}")
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
