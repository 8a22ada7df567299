#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: draw.py [--check] - draws the pictures of docs/ as SVG, or names those that differ from their source.

house.svg: the rooms, from the table in ARCHITECTURE.md. boot.svg: the units that boot.txt lists, in the order that
the unit files of units/ give them, and that boot.txt adds for those of others. rotation.svg: the bars of rotation.txt.
Text and boxes have the colours of the page, light or dark.
"""

import html
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).parent
TOP = HERE.parent.parent
CHAR, BOLD, ROW = 6.7, 7.6, 15  # of 11 px text
STYLE = """text{font:11px sans-serif;fill:#1f2328}.b{font-weight:bold}.s{fill:#59636e}
rect{fill:#ddf4ff;stroke:#0969da}.o rect{fill:#f6f8fa;stroke:#818b98}
path,line{fill:none;stroke:#818b98;stroke-width:1.2}.t{fill:#818b98;stroke:none}
.new{fill:#dafbe1;stroke:#1a7f37}.old{fill:#fff8c5;stroke:#9a6700}.wait{fill:none;stroke-dasharray:4 3}
@media(prefers-color-scheme:dark){text{fill:#f0f6fc}.s{fill:#9198a1}rect{fill:#0c2d6b;stroke:#4493f8}
.o rect{fill:#151b23;stroke:#656c76}.new{fill:#0f5323;stroke:#3fb950}.old{fill:#693e00;stroke:#d29922}.wait{fill:none}}"""


def svg(name, width, height, title, parts):
    """The text of a picture."""
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" role="img">\n'
            f"<!-- SPDX-License-Identifier: LGPL-2.1-or-later; made by docs/pictures/draw.py from {name} -->\n"
            f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>\n" + "\n".join(parts) + "\n</svg>\n")


def text(x, y, words, kind=""):
    """One line."""
    return f'<text x="{x:.0f}" y="{y:.0f}"{f" class={kind!r}" if kind else ""}>{html.escape(words)}</text>'.replace("'", '"')


def lines_of(words, width):
    """The words in lines of so many characters."""
    lines = [""]
    for word in words.split():
        if len(lines[-1]) + len(word) >= width and lines[-1]:
            lines.append("")
        lines[-1] += (" " if lines[-1] else "") + word
    return lines


# --- boxes in layers, with an arrow from each to those that come after it

def reduce_edges(edges):
    """Without the arrows that a longer way makes needless. edges: node -> set of those before it."""
    above = {}

    def all_above(node):
        if node not in above:
            above[node] = set()
            above[node] = edges[node].union(*(all_above(n) for n in edges[node]))
        return above[node]

    return {node: {n for n in before if not any(n in all_above(m) for m in before if m != n)}
            for node, before in edges.items()}


def layers_of(edges):
    """Each node as far down as its longest way, and in each layer near to those that it hangs on. Returns layers and
    arrows, as lists of nodes: a tuple stands for the place where an arrow passes through a layer."""
    level, before, ways = {}, {n: set() for n in edges}, []

    def level_of(node):
        if node not in level:
            level[node] = 1 + max((level_of(n) for n in edges[node]), default=-1)
        return level[node]

    for node in edges:
        level_of(node)
    for node in edges:
        for start in sorted(edges[node]):
            way = [start, *((start, node, i) for i in range(level[start] + 1, level[node])), node]
            level.update({n: n[2] for n in way[1:-1]})
            for one, other in zip(way, way[1:]):
                before.setdefault(other, set()).add(one)
            ways.append(way)
    after = {n: {m for m in before if n in before[m]} for n in before}
    layers = [[n for n in before if level[n] == i] for i in range(max(level.values()) + 1)]
    place = {n: (i + 0.5) / len(layer) for layer in layers for i, n in enumerate(layer)}
    for sweep in range(12):
        near = after if sweep % 2 else before
        for layer in layers[::-1] if sweep % 2 else layers:
            layer.sort(key=lambda n: sum(place[m] for m in near[n]) / len(near[n]) if near[n] else place[n])
            place.update({n: (i + 0.5) / len(layer) for i, n in enumerate(layer)})
    return layers, ways


def draw_layers(name, title, nodes, edges, width=1000, gap=34):
    """nodes: name -> (text, whether it is another's). edges: name -> set of those before it."""
    layers, ways = layers_of(reduce_edges(edges))
    place, boxes, arrows, y = {}, [], [], 10
    for layer in layers:
        # A passing arrow takes a seventh of the room of a box.
        room = (width - 20) / sum(1 / 7 if isinstance(n, tuple) else 1 for n in layer)
        wide = min(room - 12, 230)
        bodies = {n: (lines_of(n, wide / BOLD), lines_of(nodes[n][0], wide / CHAR)) for n in layer if n in nodes}
        high = max(len(heads) + len(rest) for heads, rest in bodies.values()) * ROW + 10
        left = 10
        for n in layer:
            share = room / 7 if isinstance(n, tuple) else room
            middle = left + share / 2
            left += share
            place[n] = (middle, y, y + high)
            if n not in nodes:
                continue
            x = middle - wide / 2
            boxes.append(f'<g class="{"o" if nodes[n][1] else ""}"><rect x="{x:.0f}" y="{y:.0f}" width="{wide:.0f}" '
                         f'height="{high:.0f}" rx="5"/>')
            heads, rest = bodies[n]
            boxes += [text(x + 6, y + 15 + j * ROW, line, "b" if j < len(heads) else "s") for j, line in enumerate(heads + rest)]
            boxes.append("</g>")
        y += high + gap
    for way in ways:
        path = ""
        for one, other in zip(way, way[1:]):
            (x1, top, y1), (x2, y2, _) = place[one], place[other]
            end = y2 - 5 if other in nodes else y2
            bend = (end - y1) / 2
            path += f"M{x1:.0f} {top if one not in nodes else y1:.0f}V{y1:.0f}C{x1:.0f} {y1 + bend:.0f} {x2:.0f} {end - bend:.0f} {x2:.0f} {end:.0f}"
        arrows.append(f'<path d="{path}"/><path class="t" d="M{x2 - 3:.0f} {y2 - 6:.0f}h6l-3 6z"/>')
    return svg(name, width, y - gap + 10, title, arrows + boxes)


def house():
    """The rooms, and what each uses."""
    page = (TOP / "docs/ARCHITECTURE.md").read_text(encoding="utf-8")
    rows = [[c.replace("`", "").strip() for c in row.split("|")[1:-1]] for row in re.findall(r"^\| `[a-z].*/` \|.*\|.*\|.*\|$", page, re.M)]
    short = {row[0].removesuffix("/").split("/")[-1] if row[0] not in ("src/probe/", "src/nvme-keyd/") else row[0].strip("/"): row
             for row in rows if len(row) == 4}
    edges = {}
    for name, row in short.items():
        used = set() if row[3] == "nothing" else set(re.split(r", ", row[3]))
        edges[name] = {u for u in used if u in short}
        lost = used - edges[name]
        if lost:
            sys.exit(f"ARCHITECTURE.md: {name} uses {', '.join(lost)}, which is no room")
    return draw_layers("the table in ARCHITECTURE.md", "The rooms: an arrow leads from a room to those that use it",
                       {n: (row[1], False) for n, row in short.items()}, edges, 1400, 60)


def boot():
    """The units, each after those that it waits for."""
    nodes, edges = {}, {}
    for line in (HERE / "boot.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("#") or not line:
            continue
        name, words, *after = [f.strip() for f in line.split("|")]
        nodes[name] = (words, not name.startswith("nvme-keyd"))
        edges[name] = set(after[0].split()) if after else set()
    for file in [*(TOP / "units").glob("*"), *(TOP / "units").glob("*.d/*")]:
        unit = (file.parent.name.removesuffix(".d") if file.parent.name.endswith(".d") else file.name).removesuffix(".in")
        if unit not in nodes or not file.is_file():
            continue
        for word, others in re.findall(r"^(After|Before)=(.*)$", file.read_text(encoding="utf-8"), re.M):
            for other in others.split():
                if other in nodes:
                    edges[unit if word == "After" else other].add(other if word == "After" else unit)
    return draw_layers("boot.txt and units/", "A boot: each unit comes after those above it", nodes, edges, 1200)


# --- bars on lanes

def rotation():
    """The keys of target and host over time."""
    lanes, marks, title = [], [], ""
    for line in (HERE / "rotation.txt").read_text(encoding="utf-8").splitlines():
        kind, *fields = [f.strip() for f in line.split("|")]
        if kind == "title":
            title = fields[0]
        elif kind == "lane":
            lanes.append((fields[0], []))
        elif kind == "bar":
            lanes[-1][1].append((fields[0], float(fields[1]), float(fields[2]), fields[3]))
        elif kind == "mark":
            marks.append((float(fields[0]), *fields[1:]))
    left, scale, high = 150, 8.2, 26
    bottom = 20 + len(lanes) * (high + 12)
    parts = []
    for at, step, _ in marks:
        x = left + at * scale
        parts += [f'<line x1="{x:.0f}" y1="14" x2="{x:.0f}" y2="{bottom}" stroke-dasharray="2 4"/>', text(x - 3, 11, step, "b")]
    for n, (name, bars) in enumerate(lanes):
        y = 20 + n * (high + 12)
        parts.append(text(6, y + 17, name, "b"))
        for kind, start, end, words in bars:
            x = left + start * scale
            parts += [f'<rect class="{kind}" x="{x:.0f}" y="{y}" width="{(end - start) * scale:.0f}" height="{high}" rx="3"/>',
                      text(x + 6, y + 17, words)]
    for i, (_, step, words) in enumerate(marks):
        parts.append(text(left + i % 2 * 410 - 144, bottom + 22 + i // 2 * 18, f"{step}  {words}"))
    return svg("rotation.txt", left + 100 * scale + 10, bottom + 22 + (len(marks) + 1) // 2 * 18, title, parts)


bad = False
for picture in (house, boot, rotation):
    target = HERE / f"{picture.__name__}.svg"
    drawn = picture()
    if "--check" not in sys.argv:
        target.write_text(drawn, encoding="utf-8")
    elif not target.exists() or target.read_text(encoding="utf-8") != drawn:
        print(f"{target.relative_to(TOP)} is not what its source gives: run docs/pictures/draw.py")
        bad = True
sys.exit(bad)
