"""The page in a real browser: no errors, no requests, no overflow on a phone, a dark mode."""

import json
import re
import shutil
import subprocess
from html import escape

import pytest

from holdfast.commands.gating.gate import gate_result
from holdfast.inputs.options.gate_options import GateConfig
from holdfast.report.page import write_report
from holdfast.results.records import Arm
from holdfast.results.result import RunResult
from tests.gate_results import NO, SAFE, evaluated
from tests.synthetic_bench import synthetic_bench
from tests.synthetic_result import synthetic_result, synthetic_scenarios

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--enable-logging=stderr",
    "--virtual-time-budget=4000",
)
DARK = ("--blink-settings=preferredColorScheme=0",)
CONTRAST = ("--blink-settings=inForcedColors=true",)
# The page forbids scripts, so a frame around it measures it; media queries see the frame's width.
FRAME = """<!doctype html><meta name="color-scheme" content="light dark">
<iframe id="page" width="{width}" height="900" srcdoc="{page}"></iframe><pre id="found"></pre>
<script>
document.getElementById("page").addEventListener("load", (event) => {{
  const view = event.target.contentWindow, page = view.document;
  const rooms = [...page.querySelectorAll("body *")].map((e) => [e, e.getBoundingClientRect()]);
  const small = [...page.querySelectorAll("svg text")].map(
    (t) => [t.getScreenCTM(), parseFloat(view.getComputedStyle(t).fontSize)]).map(
    ([m, size]) => size * Math.hypot(m.a, m.b));
  document.getElementById("found").textContent = JSON.stringify({{
    width: view.innerWidth,
    scroll: page.documentElement.scrollWidth,
    outside: rooms.filter(([e, r]) => r.right > view.innerWidth + 0.5 && !e.closest("svg"))
      .map(([e]) => e.tagName + "." + e.className).slice(0, 5),
    requests: view.performance.getEntriesByType("resource").map((r) => r.name),
    paper: view.getComputedStyle(page.body).backgroundColor,
    ink: view.getComputedStyle(page.body).color,
    smallest: Math.min(...small),
    pictures: page.querySelectorAll("svg").length,
    hidden: [...page.querySelectorAll("details > *")].filter((e) => !e.checkVisibility()).length,
    bar: view.getComputedStyle(page.querySelector(".bar i") || page.body).backgroundColor,
  }});
}});
</script>"""

pytestmark = [
    pytest.mark.chromium,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return write_report(awkward(), tmp_path_factory.mktemp("page") / "report.html")


@pytest.fixture(scope="module")
def scenario_page(tmp_path_factory):
    return write_report(
        awkward(synthetic_scenarios()), tmp_path_factory.mktemp("scenarios") / "report.html"
    )


@pytest.fixture(scope="module")
def bench_page(tmp_path_factory):
    return write_report(synthetic_bench(5, 8), tmp_path_factory.mktemp("bench") / "report.html")


def awkward(result: RunResult | None = None) -> RunResult:
    """The demo's result with words that do not want to break."""
    result = result or synthetic_result()
    arms = [unbroken(arm) if arm.defense == "panacea" else arm for arm in result.arms]
    return result.model_copy(
        update={
            "arms": arms,
            "model": "organization/" + "a-very-long-model-name-" * 6,
            "config": {"an_option_" * 8: "x" * 200},
            "warnings": ["w" * 120],
        }
    )


def unbroken(arm: Arm) -> Arm:
    """The arm with answers, settings and values of hundreds of characters without a blank."""
    answers = [a.model_copy(update={"answer": "ro" * 300}) for a in arm.runs[0].answers]
    first = arm.runs[0].model_copy(update={"answers": answers})
    settings = {"setting": "y" * 300}
    return arm.model_copy(update={"runs": [first, *arm.runs[1:]], "settings": settings})


def browse(address, profile, *flags):
    """Return (the page after loading, what the console said)."""
    done = subprocess.run(
        [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", *flags, "--dump-dom", address],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    said = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return done.stdout, said


def measured(page, tmp_path, width, *flags):
    """Return what a frame of ``width`` pixels measures of the page."""
    frame = tmp_path / "frame.html"
    frame.write_text(FRAME.format(width=width, page=escape(page.read_text())))
    dom, _ = browse(frame.as_uri(), tmp_path / "profile", *flags)
    found = re.search(r'<pre id="found">(.+?)</pre>', dom, flags=re.DOTALL)
    assert found, "the frame has measured nothing"
    return json.loads(found.group(1))


def test_it_loads_without_a_word_in_the_console(page, tmp_path):
    dom, said = browse(page.as_uri(), tmp_path / "profile")
    assert said == []
    assert "What this promises" in dom


@pytest.mark.parametrize("width", [390, 768, 850, 1200])
def test_it_fits_and_asks_nothing_of_the_network(page, tmp_path, width):
    found = measured(page, tmp_path, width, "--window-size=1400,1000")
    assert found["requests"] == []
    assert found["scroll"] <= found["width"]
    assert found["outside"] == []
    assert found["pictures"] == 4
    assert found["smallest"] >= 10


@pytest.mark.parametrize("width", [390, 850, 1280])
def test_several_scenarios_fit_too(scenario_page, tmp_path, width):
    found = measured(scenario_page, tmp_path, width, "--window-size=1400,1000")
    assert found["requests"] == []
    assert found["scroll"] <= found["width"]
    assert found["outside"] == []
    assert found["pictures"] == 8
    assert found["smallest"] >= 10


@pytest.mark.parametrize("width", [390, 850, 1280])
def test_a_bench_fits_too(bench_page, tmp_path, width):
    found = measured(bench_page, tmp_path, width, "--window-size=1400,1000")
    assert found["requests"] == []
    assert found["scroll"] <= found["width"]
    assert found["outside"] == []
    assert found["pictures"] == 3 * 7 + 1  # knobs, arms; fronts
    assert found["smallest"] >= 10


def test_a_release_on_a_phone_fits_too(tmp_path):
    """The verdict stands on top, with long names of a model, its adapter, a file and a judge."""
    made = evaluated({**SAFE, "harmful": {NO: 30}}, config={"adapter": "adapter-" * 40})
    path = made.model_copy(update={"model": "model-" * 40}).save(tmp_path / "result.json")
    policy = tmp_path / f"{'limits' * 20}.yaml"
    policy.write_text("require: ['hs<=.05', 'over_refusal<=.1']")
    result = gate_result(GateConfig(result=path, policy=policy))
    page = write_report(result, tmp_path / "report.html")
    found = measured(page, tmp_path, 390, "--window-size=1400,1000")
    assert found["requests"] == []
    assert found["scroll"] <= found["width"]
    assert found["outside"] == []


def test_it_has_a_dark_mode(page, tmp_path):
    light = measured(page, tmp_path, 390)
    dark = measured(page, tmp_path, 390, *DARK)
    assert brightness(light["paper"]) - brightness(light["ink"]) > 180
    assert brightness(dark["ink"]) - brightness(dark["paper"]) > 180


def test_nothing_that_is_folded_is_missing_on_paper(page, tmp_path):
    """Answers, options and data were printed as bare heads, and the ninth warning not at all."""
    paper = tmp_path / "paper.html"
    paper.write_text(page.read_text().replace("@media print", "@media all"))
    assert measured(page, tmp_path, 768)["hidden"] > 5
    assert measured(paper, tmp_path, 768)["hidden"] == 0
    assert "print-color-adjust: exact" in page.read_text()  # Bars are backgrounds.


def test_bars_are_seen_in_high_contrast(page, tmp_path):
    usual, forced = measured(page, tmp_path, 768), measured(page, tmp_path, 768, *CONTRAST)
    assert forced["bar"] == usual["bar"]
    assert forced["paper"] != usual["paper"]


def brightness(color):
    """Mean of an rgb() color's three numbers."""
    return sum(int(number) for number in re.findall(r"\d+", color)[:3]) / 3
