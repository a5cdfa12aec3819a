"""The benchmarks' arithmetic, plots and page: what a figure means, and that a part replaces only its own."""

from __future__ import annotations

import random
import re
import statistics
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from benchmarks import __main__ as command
from benchmarks import counting, drawing, figures, idle, load, outages, report
from benchmarks.figures import Options, Section, Table, Verdict
from benchmarks.outages import Seen, Size
from benchmarks.ways import ACME_SH, AUTO, HOOKS, STOP, left_out, ways

SVG = "{http://www.w3.org/2000/svg}"
PAGE = """# A page

| promise | measured | holds | command |
|---|---|---|---|
| one <!-- kill --> | old | yes | x |
| two <!-- idle --> | old | yes | x |
| three <!-- idle --> | old | no | x |
| four <!-- tls --> | old | yes | x |

Words \\1 that stay.

<!-- measured: kill -->
old kill
<!-- end of kill -->

<!-- measured: idle -->
old idle
<!-- end of idle -->

| a later table | it stays |
"""


# -- figures ---------------------------------------------------------------------------------------------------------


def test_rounds_are_in_turn_and_another_way_comes_first_each_time() -> None:
    calls: list[str] = []

    def way(name: str) -> Any:
        return lambda: calls.append(name) or len(calls)

    found = figures.in_turn({"a": way("a"), "b": way("b")}, 3, warm_up=False)
    assert "".join(calls) == "abbaab" and found == {"a": [1, 4, 5], "b": [2, 3, 6]}
    found = figures.in_turn({"a": way("a"), "b": way("b")}, 2)
    assert "".join(calls[6:]) == "abbaab" and [len(each) for each in found.values()] == [2, 2]


def test_a_ratio_is_the_median_of_each_round_s_own() -> None:
    assert figures.ratios([1.0, 4.0, 9.0], [2.0, 2.0, 3.0]) == [0.5, 2.0, 3.0]
    assert figures.ratio([1.0, 4.0, 9.0], [2.0, 2.0, 3.0]) == "**2.00** (0.50 to 3.00)"
    assert figures.ratio([1.0125], [1.0], digits=3) == "**1.012**"
    assert figures.ratio([0.05], [1.0]) == "**0.050**"
    assert figures.ratio([0.0, 0.0], [2.0, 2.0]) == "**0.00** (0.00 to 0.00)"
    assert figures.ratio([1.0, 1.0], [2.0, 0.0]) == "-", "nothing is divided by an outage that there was not"


@pytest.mark.parametrize("count, rank", [(1, 1), (2, 1), (5, 1), (6, 1), (8, 1), (9, 2), (12, 3), (20, 6), (60, 22)])
def test_the_interval_s_ends_are_those_of_the_sign_test(count: int, rank: int) -> None:
    """The ranks of published tables of confidence intervals for a median, 95 %."""
    values = [float(number) for number in range(1, count + 1)]
    random.Random(count).shuffle(values)
    assert figures.interval(values) == (rank, count + 1 - rank)


def test_the_interval_has_the_median_in_it_as_often_as_it_says() -> None:
    chance, tries = random.Random(7), 2000
    inside = 0
    for _ in range(tries):
        least, most = figures.interval([chance.lognormvariate(0, 1) for _ in range(15)])
        inside += least <= 1.0 <= most
    assert 0.95 <= inside / tries < 0.99  # 0.965 for 15 rounds


def test_a_limit_holds_only_if_all_of_the_interval_is_below_it() -> None:
    below, above, across = [1.01] * 10, [1.05] * 10, [1.0] * 5 + [1.05] * 5
    assert figures.at_most(below, 1.02) is True
    assert figures.at_most(above, 1.02) is False
    assert figures.at_most(across, 1.02) is None
    assert figures.at_most([1.0] * 5, 1.02) is None, "five rounds have no interval of 95 %"
    assert figures.not_above([0.9] * 5 + [1.2] * 5, 1.0) is True
    assert figures.not_above([1.1] * 10, 1.0) is False
    assert figures.not_above([0.5], 1.0) is None


def test_a_pair_is_a_row_with_both_and_the_ratio() -> None:
    table = Table("t", figures.PAIR)
    figures.pair(table, "what", [1.0, 2.0, 1500.0], [1.0, 1.0, 1.0])
    assert table.rows == [("what", "2.000 s", "1.000 s", "**2.00** (1.00 to 1500.00)", "3")]
    lines = table.markdown().splitlines()
    assert lines[0] == "**t**" and lines[3] == "|---|---|---|---|---|"
    assert {line.count("|") for line in lines[2:]} == {6}


# -- what parts make of what they found ------------------------------------------------------------------------------


def test_an_outage_is_the_longest_and_the_sum() -> None:
    one = Seen(9.0, ((1.0, 2.0), (3.0, 6.0)))
    assert (one.longest, one.total) == (3.0, 4.0)
    assert (Seen(9.0, ()).longest, Seen(9.0, ()).total) == (0.0, 0.0)


def _found(stop_many: float, auto: float) -> dict[Size, dict[str, list[Seen]]]:
    def seen(seconds: float) -> list[Seen]:
        return [Seen(20.0, ((0.0, seconds),) if seconds else ())]

    return {Size(0.0, 1, 1): {HOOKS: seen(2.0), STOP: seen(1.0), AUTO: seen(0.0)},
            Size(0.0, 20, 1): {HOOKS: seen(40.0), STOP: seen(stop_many), AUTO: seen(auto)}}


@pytest.mark.parametrize("stop_many, auto, holds", [(1.2, 0.0, [True, True]), (3.0, 0.0, [True, False]),
                                                    (1.2, 0.01, [False, True])])
def test_the_promises_about_outages_can_fail(stop_many: float, auto: float, holds: list[bool]) -> None:
    assert [one.holds for one in outages._verdicts(_found(stop_many, auto))] == holds


def test_what_each_lineage_is_away_is_the_sum_divided_by_them() -> None:
    table = outages._table(Size(0.0, 20, 1), _found(1.2, 0.0)[Size(0.0, 20, 1)])
    assert table.rows[0][1:5] == ("40.00 s", "2.00 s", "1", "**1.00**")
    assert table.rows[1][1:5] == ("1.20 s", "0.06 s", "1", "**0.030**")


def _pairs(lineages: int, guard: float, plain: float, megabytes: float = 0.0) -> idle.Pairs:
    noise = [0.000, 0.001, -0.001, 0.002, -0.002, 0.001, 0.0, -0.001, 0.001, 0.0]
    return idle.Pairs(lineages, [idle.Cost(guard + one, 1.0, 46.0 + megabytes + one) for one in noise],
                      *([idle.Cost(plain + one, 1.0, 46.0 + one) for one in reversed(noise)],) * 2)


def test_two_percent_are_judged_by_processor_time() -> None:
    assert idle._verdict(_pairs(1, 0.302, 0.300)).holds is True
    assert idle._verdict(_pairs(1, 0.330, 0.300)).holds is False
    assert idle._verdict(_pairs(1, 0.306, 0.300)).holds is None


def test_growth_with_the_lineages_is_seen_in_time_and_in_memory() -> None:
    assert [one.holds for one in idle._growth([_pairs(1, 0.3, 0.3), _pairs(1000, 6.0, 6.0)])] == [True] * 4
    grown = idle._growth([_pairs(1, 0.3, 0.3), _pairs(1000, 6.1, 6.0, megabytes=2.0)])
    assert [one.holds for one in grown] == [False] * 4
    assert grown[0].measured.startswith("+0.100 ms ") and grown[2].measured.startswith("+2.050 KB ")
    constant = idle._growth([_pairs(1, 0.31, 0.30), _pairs(1000, 6.01, 6.00)])
    assert constant[0].holds is True, "what is the same for one and for a thousand does not grow"


def test_time_that_is_judged_by_instructions_has_no_row_of_its_own() -> None:
    found = [_pairs(1, 0.3, 0.3), _pairs(1000, 6.1, 6.0)]
    assert [("memory" in one.promise, one.holds) for one in idle._growth(found, counted=True)] == [(True, True)] * 2


def test_counted_instructions_are_judged_at_their_worst_beside_each_other_thing() -> None:
    found = [counting.Counted(1, 1012.0, 1000.0, 990.0), counting.Counted(100, 3690.0, 3670.0, 3590.0)]
    null, none, further = counting.verdicts(found)
    assert (null.holds, none.holds, further.holds) == (True, False, True)
    assert null.measured == "at most **1.012** of them (1 lineage)"
    assert none.measured.startswith("at most **1.028** of them (100 lineages); ") and none.measured.endswith(" is 2.2%")
    assert further.measured == "+0.3% of what certbot takes for it"
    row = counting.table(found).rows[1]
    assert row[0] == "100" and row[-1] == "**1.028**"


def test_a_cost_for_each_lineage_shows_however_small_the_whole_ratio_is() -> None:
    grown = [counting.Counted(1, 1001.0, 1000.0, 1000.0), counting.Counted(11, 1111.0, 1100.0, 1100.0)]
    *_, further = counting.verdicts(grown)
    assert not further.holds and further.measured == "+10.0% of what certbot takes for it"


@pytest.mark.skipif(not counting.possible(), reason="valgrind is not installed")
def test_the_same_program_takes_the_same_number_of_instructions() -> None:
    one, other = (counting.instructions(["/bin/echo", "x"], {"PATH": "/usr/bin:/bin"}) for _ in range(2))
    assert one == other > 0


def test_messages_of_a_websocket_are_read_as_they_were_written() -> None:
    import asyncio

    async def back(masked: bool) -> bytes:
        reader = asyncio.StreamReader()
        reader.feed_data(load._message(b"still there?", masked))
        return await load._next_message(reader)

    assert {asyncio.run(back(masked)) for masked in (True, False)} == {b"still there?"}
    assert load._accepted(b"dGhlIHNhbXBsZSBub25jZQ==") == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455, 1.3


def test_each_way_of_the_list_is_measured_and_what_is_left_out_is_said() -> None:
    assert {HOOKS, STOP, AUTO} < set(ways()) and ACME_SH not in ways() and "--acme-sh" in left_out()[0]
    assert ACME_SH in ways(Path("/some/acme.sh")) or left_out(Path("/some/acme.sh"))


# -- drawing ---------------------------------------------------------------------------------------------------------


PLOTS = {
    "bars": drawing.bars("A & B <title>", {"group": {"guard, `x`": 1.5, "people's": 40.0}, "none": {"guard": 0.0}}),
    "nothing": drawing.bars("nothing", {"": {"guard": 0.0}}),
    "strips": drawing.strips("when", {"guard": (3.0, [(1.0, 2.0)]), "hooks": (3.0, [])}),
    "stacks": drawing.stacks("where", {"a": {"x": 0.5, "y": 0.25}, "b": {"x": 0.1}}),
    "ranges": drawing.ranges("how", {"g": {"one": (0.99, 1.0, 1.01)}}, "in times of it", 1.02, "at most 1.02"),
}


@pytest.mark.parametrize("svg", PLOTS.values(), ids=PLOTS)
def test_a_plot_is_well_formed_for_both_schemes_and_inside_its_frame(svg: str) -> None:
    root = ElementTree.fromstring(svg)
    width, height = (float(side) for side in root.attrib["viewBox"].split()[2:])
    assert "prefers-color-scheme: dark" in svg
    for part in root.iter():
        across = [float(part.attrib[name]) for name in ("x", "x1", "x2", "cx") if name in part.attrib]
        down = [float(part.attrib[name]) for name in ("y", "y1", "y2", "cy") if name in part.attrib]
        assert all(0 <= value <= width for value in across) and all(0 <= value <= height for value in down), part.attrib
        assert float(part.attrib.get("width", 0)) >= 0


def test_every_plot_has_a_labelled_axis_that_begins_and_ends_around_the_values() -> None:
    for name, unit, numbers in (("bars", "seconds", ["0", "10", "20", "30", "40"]),
                                ("stacks", "seconds", ["0.0", "0.2", "0.4", "0.6", "0.8"]),
                                ("strips", "seconds since the renewal was started", ["0.0", "0.5", "1.0", "3.0"]),
                                ("ranges", "in times of it", ["0.99", "1.00", "1.01", "1.02"])):
        words = [element.text for element in ElementTree.fromstring(PLOTS[name]).iter(f"{SVG}text")]
        assert unit in words and not set(numbers) - set(words), (name, words)


def test_bars_are_as_long_as_their_values_and_coloured_by_whose_they_are() -> None:
    boxes = [element.attrib for element in ElementTree.fromstring(
        drawing.bars("t", {"g": {"guard": 1.0, "hooks": 4.0}})).iter(f"{SVG}rect")][1:]
    assert [box["class"] for box in boxes] == ["guard", "people"]
    assert float(boxes[1]["width"]) / float(boxes[0]["width"]) == pytest.approx(4.0, rel=0.01)


def test_an_outage_and_a_part_of_a_bar_are_as_wide_as_they_are_long() -> None:
    def widths(svg: str) -> list[float]:
        return [float(element.attrib["width"]) for element in ElementTree.fromstring(svg).iter(f"{SVG}rect")][1:]

    all_of_it, away = widths(drawing.strips("t", {"guard": (30.0, [(10.0, 20.0)])}))
    assert away / all_of_it == pytest.approx(1 / 3, rel=0.01)
    first, second = widths(drawing.stacks("t", {"a": {"x": 0.5, "y": 0.25}}))[:2]
    assert first / second == pytest.approx(2.0, rel=0.01) and first > 100


def test_a_mark_is_between_its_whiskers_and_the_limit_is_where_it_belongs() -> None:
    root = ElementTree.fromstring(PLOTS["ranges"])
    circle = next(root.iter(f"{SVG}circle"))
    lines = {kind: [float(one.attrib["x1"]) for one in root.iter(f"{SVG}line") if one.attrib["class"] == kind]
             for kind in ("whisker", "limit")}
    assert min(lines["whisker"]) < float(circle.attrib["cx"]) < max(lines["whisker"]) < lines["limit"][0]


@pytest.mark.parametrize("least, most", [(0.0, 0.0), (0.0, 1e-4), (0.98, 1.021), (0.0, 104.3), (3.0, 3.0), (0, 12345)])
def test_scales_have_few_ticks_and_enclose_what_is_shown(least: float, most: float) -> None:
    ticks = drawing._Scale(least, most).ticks()
    assert 2 <= len(ticks) <= 8 and ticks[0] <= least + 1e-9 and ticks[-1] >= most - 1e-9


# -- the page --------------------------------------------------------------------------------------------------------


def _section(verdicts: int = 1) -> Section:
    section = Section([Table("new \\1", ("a", "b"), [("1", "2")])], ["a note"],
                      verdicts=[Verdict(f"new {number}", "1.00", None) for number in range(verdicts)])
    section.picture("plot.svg", "words", PLOTS["bars"])
    return section


@pytest.mark.parametrize("verdicts", [1, 2, 3])
def test_a_part_replaces_what_is_its_own_and_nothing_else(verdicts: int) -> None:
    now = report.written(PAGE, "idle", _section(verdicts), "today")
    new = "".join(f"| new {number} <!-- idle --> | 1.00 | cannot be told from these | [`--only idle`](#idle) |\n"
                  for number in range(verdicts))
    body = ("*today*\n\n![words](images/plot.svg)\n\n**new \\1**\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n- a note\n\n")
    expected = PAGE.replace("| two <!-- idle --> | old | yes | x |\n| three <!-- idle --> | old | no | x |\n", new)
    assert now == expected.replace("old idle\n", body.join(["\n", ""]))
    assert report.written(now, "idle", _section(verdicts), "today") == now


def test_a_part_without_a_promise_leaves_the_table_at_the_top_alone() -> None:
    now = report.written(PAGE, "kill", Section(notes=["new"]), "today")
    assert now == PAGE.replace("old kill\n", "\n*today*\n\n- new\n\n")


@pytest.mark.parametrize("name, verdicts, page", [
    ("tls", 0, PAGE), ("kill", 1, PAGE.replace("<!-- kill -->", "")), ("kill", 0, PAGE + PAGE)])
def test_a_page_without_a_place_is_not_touched(name: str, verdicts: int, page: str, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    file = tmp_path / "performance.md"
    file.write_text(page)
    with pytest.raises(ValueError, match="the page has no|the table at the top"):
        report.write(name, _section(verdicts), "today", file)
    assert file.read_text() == page and not list((tmp_path / "images").iterdir())


def test_writing_puts_the_pictures_beside_the_page(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "performance.md").write_text(PAGE)
    report.write("idle", _section(), "today", tmp_path / "performance.md")
    assert (tmp_path / "images" / "plot.svg").read_text() == PLOTS["bars"]
    assert "a note" in (tmp_path / "performance.md").read_text()


def test_the_real_page_has_a_place_for_each_part_and_a_heading_that_its_rows_lead_to() -> None:
    page = report.PAGE.read_text("utf-8")
    for name in command.PARTS:
        assert "a note" in report.written(page, name, Section(notes=["a note"]), "today")
        assert re.search(rf"^## {name}$", page, re.MULTILINE)
    for name in set(re.findall(r"^\|[^\n]*<!-- (\w+) -->", page, re.MULTILINE)):
        assert "new 1" in report.written(page, name, _section(2), "today")


def test_the_real_pictures_are_well_formed() -> None:
    pictures = list((report.PAGE.parent / "images").glob("performance-*.svg"))
    assert pictures and all(ElementTree.parse(picture).getroot().tag == f"{SVG}svg" for picture in pictures)


# -- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, list[Options]]:
    """Parts that measure nothing, and a page of the test's own: by name, the options that each was called with."""
    (tmp_path / "images").mkdir()
    (tmp_path / "performance.md").write_text(PAGE)
    asked: dict[str, list[Options]] = {"kill": [], "idle": []}

    def part(name: str) -> command.Part:
        def measure(options: Options) -> Section:
            asked[name].append(options)
            if name == "kill":
                raise RuntimeError("no Apache here")
            return _section()
        return command.Part(measure, (1, 3, 9), (1.0, 2.0, 30.0))

    monkeypatch.setattr(command, "PARTS", {name: part(name) for name in asked})
    monkeypatch.setattr(report.write, "__defaults__", (tmp_path / "performance.md",))
    return asked


def test_a_part_that_fails_costs_the_others_nothing_and_keeps_what_it_had(
        parts: dict[str, list[Options]], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([]) == 1
    page, said = (tmp_path / "performance.md").read_text(), capsys.readouterr().err
    assert "old kill" in page and "old idle" not in page
    assert "2 parts, about 4 min" in said and "not measured: kill" in said and "[2 of 2] idle; about 2 min left" in said


@pytest.mark.parametrize("arguments, rounds, writes", [
    ([], 3, True), (["--quick"], 1, False), (["--thorough"], 9, True), (["--rounds", "5"], 5, True),
    (["--quick", "--write"], 1, True), (["--no-write"], 3, False)])
def test_a_part_alone_has_the_rounds_that_were_asked_for(
        parts: dict[str, list[Options]], tmp_path: Path, arguments: list[str], rounds: int, writes: bool) -> None:
    assert command.main(["--only", "idle", *arguments]) == 0
    assert [one.rounds for one in parts["idle"]] == [rounds] and not parts["kill"]
    assert ("old idle" not in (tmp_path / "performance.md").read_text()) == writes


def test_options_that_make_no_sense_are_refused(parts: dict[str, list[Options]], tmp_path: Path) -> None:
    for arguments in (["--rounds", "0"], ["--acme-sh", str(tmp_path / "none")], ["--quick", "--thorough"],
                      ["--only", "nothing"]):
        with pytest.raises(SystemExit):
            command.main(arguments)
    assert not parts["idle"]


def test_the_default_run_is_one_that_somebody_waits_for() -> None:
    assert 15 <= sum(part.minutes[1] for part in command.PARTS.values()) <= 32
    assert statistics.median(part.rounds[1] for part in command.PARTS.values()) >= 3
