"""Loading plugins: when it happens, and that a broken one harms nobody else."""

from __future__ import annotations

import types
from typing import TYPE_CHECKING

import pytest

from tapes.plugins import hookimpl
from tapes.plugins.discovery import Found
from tapes.plugins.loading import load_plugin, new_manager

if TYPE_CHECKING:
    from tests.plugins.distributions import Distributions

GOOD = """
from tapes.plugins import hookimpl

@hookimpl
def tapes_reporters():
    return {"good": "good:GoodReporter"}
"""

LIST = """
from tapes import plugins
found = plugins.installed()
print(sorted(found.reporters), [(plugin.name, plugin.status) for plugin in found.plugins])
"""

REMEDY = "Update or uninstall bad-metrics, or block the plugin in the config: plugins = {block = ['bad']}."


def test_import_loads_no_plugin(distributions: Distributions) -> None:
    """Importing tapes and its configuration imports neither pluggy nor a plugin, and looking something up does both."""
    distributions.install("good-metrics", {"good": GOOD})

    done = distributions.run("""
        import sys
        import tapes, tapes.config
        print(sorted({"pluggy", "good", "inspect", "importlib.metadata", "tapes.plugins"} & set(sys.modules)))
        from tapes import plugins
        print("good" in sys.modules)
        plugins.reporter_class("stream")
        print("pluggy" in sys.modules, "good" in sys.modules)
    """)

    assert done.lines == ["[]", "False", "True True"]


def test_names_without_importing_the_target(distributions: Distributions) -> None:
    """A plugin names its reporter, and the module that holds it is imported when it is asked for and not before."""
    distributions.install("good-metrics", {"good": GOOD.replace("good:Good", "missing:Good")})

    done = distributions.run(LIST)

    assert done.lines == ["['good', 'http', 'stream'] [('core', 'ok'), ('good', 'ok')]"]


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("raise ValueError('no\\nway')", "loading 'bad' raised ValueError: no way"),
        ("import sys; sys.exit(3)", "loading 'bad' raised SystemExit: 3"),
        ("class Odd(BaseException): pass\nraise Odd", "loading 'bad' raised Odd"),
        ("import nowhere_at_all", "loading 'bad' raised ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("def broken(", None),
        ("", "it implements no hook; mark its functions with tapes.plugins.hookimpl"),
        (
            "@hookimpl\ndef tapes_reporterz(): return {}",
            "there is no hook 'tapes_reporterz'; did you mean tapes_reporters()?",
        ),
        (
            "@hookimpl\ndef something(): return {}",
            (
                "there is no hook 'something'; the hooks are tapes_reporters, tapes_formats, tapes_routes, "
                "tapes_kinds, tapes_tables, tapes_metric_created, tapes_report_failed"
            ),
        ),
        (
            "@hookimpl\ndef tapes_metric_created(regstry): pass",
            (
                "Plugin 'bad' for hook 'tapes_metric_created' hookimpl definition: tapes_metric_created(regstry) "
                "Argument(s) {'regstry'} are declared in the hookimpl but can not be found in the hookspec; "
                "the arguments are those of tapes_metric_created(registry, metric), or fewer"
            ),
        ),
        (
            "@hookimpl(wrapper=True)\ndef tapes_reporters(): return (yield)",
            "tapes_reporters is marked as a wrapper, but there is nothing to wrap",
        ),
        ("@hookimpl\ndef tapes_reporters(): raise KeyError('x')", "tapes_reporters() raised KeyError: 'x'"),
        ("@hookimpl\ndef tapes_reporters(): raise SystemExit", "tapes_reporters() raised SystemExit"),
        (
            "@hookimpl\ndef tapes_reporters(): return ['bad:Bad']",
            "tapes_reporters() returned ['bad:Bad'] and not a dict of names to 'module:attribute'",
        ),
        (
            "@hookimpl\ndef tapes_formats(): return {'a': 'bad.Bad', 5: 'bad:Bad', 'b': len, 'c': 'bad:Bad'}",
            (
                "tapes_formats() returned 'bad.Bad' for 'a' and the name 5 and <built-in function len> for 'b'; "
                "it returns a dict of names to 'module:attribute'"
            ),
        ),
        (
            (
                "@hookimpl\ndef tapes_routes(): return {'metrics': 'a:A', '/a b': 'a:A', '/a?b': 'a:A', '': 'a:A', "
                "'/c': 'a', '/d': 'a:A'}"
            ),
            (
                "tapes_routes() returned the path 'metrics' and the path '/a b' and the path '/a?b' and the path '' "
                "and 'a' for '/c'; it returns a dict of paths to 'module:attribute'"
            ),
        ),
    ],
)
def test_broken_plugin_is_left_out(distributions: Distributions, code: str, fault: str | None) -> None:
    """A broken plugin costs one warning that names its distribution, the fault and the remedy; the others work."""
    distributions.install("bad-metrics", {"bad": f"from tapes.plugins import hookimpl\n{code}\n"})
    distributions.install("good-metrics", {"good": GOOD})

    done = distributions.run(LIST + LIST)

    warning, *listed = done.lines
    assert warning.startswith("WARNING tapes.plugins: The plugin 'bad' of bad-metrics 1.0 is left out: ")
    assert warning.endswith(f". {REMEDY}")
    assert fault is None or f"left out: {fault}. Update" in warning
    assert listed == ["['good', 'http', 'stream'] [('core', 'ok'), ('bad', 'broken'), ('good', 'ok')]"] * 2


def test_rejected_plugin_leaves_nothing_behind(distributions: Distributions) -> None:
    """What a plugin implements besides a misspelt hook is not called, and its name is free for another one."""
    bad = """
        from tapes.plugins import hookimpl

        @hookimpl
        def tapes_metric_created(metric):
            print("told", metric.name)

        @hookimpl
        def tapes_report_faild():
            pass
    """
    distributions.install("bad-metrics", {"bad": bad}, entry_points={"same": "bad"})
    distributions.install("good-metrics", {"good": GOOD}, entry_points={"same": "good"})

    done = distributions.run(LIST + "import tapes; tapes.counter('a')")

    assert done.lines[1:] == ["['good', 'http', 'stream'] [('core', 'ok'), ('same', 'broken'), ('same', 'ok')]"]


def test_rejected_plugin_leaves_the_manager_of_pluggy_as_it_was(caplog: pytest.LogCaptureFixture) -> None:
    """Neither the name of a rejected plugin nor the implementations that pluggy saw before the bad one are kept."""
    plugin = types.ModuleType("bad")
    plugin.tapes_formats = hookimpl(lambda: {"bad": "bad:Bad"})  # type: ignore[attr-defined]  # a module may have any attribute
    plugin.tapes_metric_created = hookimpl(lambda regstry: None)  # type: ignore[attr-defined]  # likewise
    manager = new_manager()

    loaded = load_plugin(manager, Found("bad", "bad", "bad-metrics", "1.0", lambda: plugin))

    assert loaded.plugin.status == "broken"
    assert not manager.has_plugin("bad")
    assert [hook for hook in vars(manager.hook).values() if hook.get_hookimpls()] == []
    assert len(caplog.records) == 1


def test_optional_hook_of_a_later_version_is_allowed(distributions: Distributions) -> None:
    """A plugin may implement hooks that this version does not have, if it marks them as optional."""
    optional = "\n@hookimpl(optionalhook=True)\ndef tapes_of_tomorrow(anything): pass\n"
    distributions.install("good-metrics", {"good": GOOD + optional})

    done = distributions.run(LIST)

    assert done.lines == ["['good', 'http', 'stream'] [('core', 'ok'), ('good', 'ok')]"]


def test_same_plugin_by_two_entry_points(distributions: Distributions) -> None:
    """A module that two entry points name is a plugin once, and the second is said to be a repetition."""
    distributions.install("good-metrics", {"good": GOOD}, entry_points={"one": "good", "two": "good"})

    done = distributions.run(LIST)

    assert "Plugin already registered under a different name: two=" in done.lines[0]
    assert done.lines[1:] == ["['good', 'http', 'stream'] [('core', 'ok'), ('one', 'ok'), ('two', 'broken')]"]


def test_same_distribution_twice_on_the_path(distributions: Distributions) -> None:
    """A distribution whose metadata is found twice is loaded once and warned about never."""
    distributions.install("good-metrics", {"good": GOOD})
    editable = distributions.root / "editable"
    distributions.install("Good.Metrics", {}, version="0.9", entry_points={"good": "good"}, site=editable)
    distributions.path += [distributions.site, editable]

    done = distributions.run(LIST + "print([plugin.origin for plugin in found.plugins][1:])")

    assert done.lines == ["['good', 'http', 'stream'] [('core', 'ok'), ('good', 'ok')]", "['good-metrics 1.0']"]


def test_broken_metadata(distributions: Distributions) -> None:
    """A distribution without METADATA, or with something that is no entry point, does not stop the others."""
    distributions.install("good-metrics", {"good": GOOD})
    distributions.install("bare-metrics", {}, entry_points={"bare": "bare"})
    (distributions.site / "bare_metrics-1.0.dist-info" / "METADATA").unlink()
    distributions.install("odd-metrics", {}, entry_points={"odd": "no module: at all"})

    done = distributions.run(LIST)

    warnings = [line for line in done.lines if line.startswith("WARNING")]
    assert len(warnings) == 2
    assert done.lines[2] == (
        "['good', 'http', 'stream'] [('core', 'ok'), ('bare', 'broken'), ('good', 'ok'), ('odd', 'broken')]"
    )


def test_second_claim_on_a_name_is_ignored(distributions: Distributions) -> None:
    """Of two plugins that claim a name the first by distribution has it; the warning names both, the rest is kept."""
    both = GOOD.replace('{"good"', '{"other": "good:Other", "stream": "good:Stream", "good"')
    distributions.install("b-metrics", {"good_b": both.replace("good:", "good_b:")})
    distributions.install("a-metrics", {"good_a": GOOD.replace("good:", "good_a:")})

    done = distributions.run(LIST + "print(found.reporters['good'].target, found.reporters['other'].target)")

    remedy = "Uninstall one of the two, or block its plugin in the config."
    assert done.lines[:2] == [
        (
            "WARNING tapes.plugins: The reporter 'stream' in b-metrics 1.0 is ignored: "
            f"the name belongs to {core()}. {remedy}"
        ),
        (
            "WARNING tapes.plugins: The reporter 'good' in b-metrics 1.0 is ignored: "
            f"the name belongs to a-metrics 1.0. {remedy}"
        ),
    ]
    assert done.lines[-1] == "good_a:GoodReporter good_b:Other"


def test_blocked_plugin_is_not_imported(distributions: Distributions) -> None:
    """A plugin that is blocked before the first lookup is not even imported."""
    distributions.install("bad-metrics", {"bad": "raise ValueError"})
    distributions.install("good-metrics", {"good": GOOD})

    done = distributions.run(
        "from tapes import plugins; plugins.block('bad'); import sys" + LIST + "print('bad' in sys.modules)"
    )

    assert done.lines == ["['good', 'http', 'stream'] [('core', 'ok'), ('bad', 'blocked'), ('good', 'ok')]", "False"]


def test_plugin_can_be_blocked_later(distributions: Distributions) -> None:
    """Blocking a loaded plugin takes its names away, gives them to the next that claims them, and stops telling it."""
    told = "\n@hookimpl\ndef tapes_metric_created(metric): print('told', metric.name)\n"
    distributions.install("a-metrics", {"first": GOOD + told})
    distributions.install("b-metrics", {"second": GOOD})

    done = distributions.run(
        LIST
        + "import tapes; tapes.counter('before'); plugins.block('first'); tapes.counter('after')"
        + LIST
        + "print(found.reporters['good'].plugin.origin)"
    )

    assert done.lines[1:] == [
        "['good', 'http', 'stream'] [('core', 'ok'), ('first', 'ok'), ('second', 'ok')]",
        "told before",
        "['good', 'http', 'stream'] [('core', 'ok'), ('first', 'blocked'), ('second', 'ok')]",
        "b-metrics 1.0",
    ]


def test_plugins_are_loaded_once_by_many_threads(distributions: Distributions) -> None:
    """Threads that look something up at the same time load the plugins once between them."""
    slow = "\nimport time\nprint('loading')\ntime.sleep(0.1)\n"
    distributions.install("good-metrics", {"good": GOOD + slow.replace("print", "import sys; sys.stdout.write")})

    done = distributions.run("""
        import threading
        from tapes import plugins
        calls = []
        from tapes.plugins import catalog
        find = catalog.find_plugins
        catalog.find_plugins = lambda: calls.append(1) or find()
        found = []
        threads = [threading.Thread(target=lambda: found.append(plugins.installed())) for _ in range(8)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        print(len(calls), len(found), all(each is found[0] for each in found))
    """)

    assert done.lines[-1].endswith("1 8 True")


def test_fork_while_plugins_are_being_loaded(distributions: Distributions) -> None:
    """A child that is forked while another thread loads plugins can load them itself."""
    distributions.install("good-metrics", {"good": GOOD})

    done = distributions.run("""
        import os, threading
        from tapes import plugins
        from tapes.plugins import catalog
        find, inside, go = catalog.find_plugins, threading.Event(), threading.Event()
        def hang():
            inside.set()
            go.wait()
            return find()
        catalog.find_plugins = hang
        thread = threading.Thread(target=plugins.installed)
        thread.start()
        inside.wait()
        pid = os.fork()
        if not pid:
            catalog.find_plugins = find
            os._exit(7 if "good" in plugins.installed().reporters else 8)
        status = os.waitpid(pid, 0)[1]
        go.set()
        thread.join()
        print(os.WEXITSTATUS(status), "good" in plugins.installed().reporters)
    """)

    assert done.lines[-1] == "7 True"


def test_plugin_that_looks_something_up_while_it_is_loaded(distributions: Distributions) -> None:
    """A plugin that asks for a reporter while it is imported is left out, instead of hanging or recursing."""
    distributions.install("bad-metrics", {"bad": "from tapes import plugins\nplugins.reporter_class('http')"})

    done = distributions.run(LIST)

    fault = "PluginError: A plugin cannot look up reporters and formats while plugins are being loaded."
    assert f"left out: loading 'bad' raised {fault}" in done.lines[0]
    assert done.lines[1] == "['http', 'stream'] [('core', 'ok'), ('bad', 'broken')]"


def core() -> str:
    """Return core's distribution and version, as messages name them."""
    import tapes

    return f"tapes-core {tapes.__version__}"
