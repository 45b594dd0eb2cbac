"""Chip files: every statement has its source, derivations are arithmetic that holds, and a bad file is refused in one line."""

import ast
import operator
import re
from importlib import resources
from io import StringIO
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from docs.generate.documents import block
from docs.generate.printed import assumed, recipes
from docs.generate.printed import chips as overview
from ecmt_deploy import chips
from ecmt_deploy.chips import actions, schema
from ecmt_deploy.chips.overview import priced
from ecmt_deploy.chips.recipes import function_prices
from ecmt_deploy.errors import HardwareError
from ecmt_deploy.kernels.base import Kernel
from ecmt_deploy.program.functions import FUNCTIONS
from ecmt_deploy.report import tables

ALL = chips.available()
OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}


def arithmetic(expression: str) -> float:
    def value(node: ast.AST) -> float:
        if isinstance(node, ast.BinOp):
            return OPERATORS[type(node.op)](value(node.left), value(node.right))
        assert isinstance(node, ast.Constant)
        return float(node.value)

    return value(ast.parse(expression, mode="eval").body)


def test_the_chips_of_the_issue_are_there():
    assert ALL == [
        "darwin3", "dynapcnn", "horowitz45", "loihi1", "loihi1_sanafe", "loihi2", "odin", "reckon", "seneca", "spinnaker2",
        "tianjic", "truenorth",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ALL)
def test_every_statement_has_a_source_and_every_derivation_holds(name):
    described = chips.hardware(name)
    assert described.name == name
    stated = dict(chips.statements(described))
    assert stated
    used = {key for statement in stated.values() for key in statement.source}
    assert used == set(described.sources), "a source that nothing uses, or the other way round"
    for key, statement in stated.items():
        assert statement.source, key
        if statement.method == "assumed":
            assert statement.grade in "CD", key
        if not isinstance(statement, chips.Figure):
            continue
        if statement.method == "derived":
            assert statement.derivation, f"{key}: derived from what?"
        if statement.derivation:
            # as many digits as the file gives
            digits = len(repr(statement.value).partition(".")[2])
            assert round(arithmetic(statement.derivation), digits) == pytest.approx(statement.value), key


def test_the_walk_over_a_file_leaves_nothing_out():
    """Every table with a value in the text of a file is one of the statements the tests above look at."""
    for name in ALL:
        text = (resources.files("ecmt_deploy.hw_configs") / f"{name}.toml").read_text(encoding="utf-8")
        assert len(re.findall(r"\{ value = ", text)) == len(dict(chips.statements(chips.hardware(name))))


def every_kernel(kernel: type = Kernel):
    for derived in kernel.__subclasses__():
        yield derived
        yield from every_kernel(derived)


def test_every_kind_of_elementwise_work_has_a_price_at_45_nm():
    elsewhere = {k.ecm_kind for k in every_kernel() if isinstance(k.ecm_kind, str)}
    assert {"scale", "product_readout"} < elsewhere
    assert set(actions.KINDS) == elsewhere | set(FUNCTIONS)
    for name in ("horowitz45", "seneca"):
        prices = function_prices(chips.hardware(name))
        assert set(prices) == set(actions.FUNCTION_PRICES)
        assert {price.method for price in prices.values()} == {"derived"}


def test_what_placement_relies_on():
    """The abilities and limits that decide whether a transformer can be placed."""
    for name in ("loihi1", "loihi1_sanafe", "truenorth", "odin", "dynapcnn"):
        described = chips.hardware(name)
        assert described.limits.graded_payload_bits.value == 1, name
        assert not described.abilities.programmable_neurons.value, name
    shared = {name: chips.hardware(name).abilities.weight_sharing for name in ALL}
    assert {name for name, ability in shared.items() if ability and ability.value} == {
        "darwin3", "loihi1", "loihi1_sanafe", "loihi2", "seneca", "spinnaker2", "dynapcnn",
    }  # fmt: skip
    assert not chips.hardware("dynapcnn").abilities.dense_connections.value
    assert chips.hardware("spinnaker2").limits.memory_bytes_per_core is not None
    assert chips.hardware("truenorth").limits.fan_in_per_neuron.value == 256
    assert chips.hardware("horowitz45").limits == chips.Limits()


def test_loihi_of_sanafe_adds_up_to_its_published_neuron():
    """access + update, and the mesh: 8 x 4 tiles of 4 cores."""
    described = chips.hardware("loihi1_sanafe")
    assert described.prices["neuron_update_active_pj"].value == pytest.approx(
        described.prices["neuron_update_idle_pj"].value + 21.6
    )
    assert [point.tiles for point in described.barrier] == [1, 2, 4, 29]
    assert [point.time.value for point in described.barrier] == [600, 1000, 1400, 1800]


def test_truenorths_two_prices_give_its_published_power():
    """Slope and intercept of two points give the third, 71 mW at 20.07 Hz, within 1 %."""
    prices = chips.hardware("truenorth").prices
    events_per_s = 2**20 * 128 * 20.07
    assert prices["static_mw"].value + prices["synop_pj"].value * events_per_s * 1e-9 == pytest.approx(71, rel=0.01)


def test_odins_prices_give_its_published_power():
    """477 uW at 75 MHz, an event every two cycles."""
    prices = chips.hardware("odin").prices
    assert prices["static_mw"].value + prices["synop_pj"].value * 37.5e6 * 1e-9 == pytest.approx(0.477, rel=0.001)


# ---- BibTeX ----


def entries(text: str) -> dict[str, dict[str, str]]:
    """A strict reader of BibTeX: entries of ``name = {balanced text},`` and nothing else."""
    found: dict[str, dict[str, str]] = {}
    position = 0
    while match := re.compile(r"\s*@([a-z]+)\{([^\s,{}\"#%]+),\n").match(text, position):
        fields: dict[str, str] = {"type": match[1]}
        position = match.end()
        while field := re.compile(r"  ([a-z]+) = \{").match(text, position):
            depth, start = 1, field.end()
            position = start
            while depth:
                depth += (text[position] == "{") - (text[position] == "}")
                position += 1
            assert text[position : position + 2] == ",\n"
            assert field[1] not in fields
            fields[field[1]] = text[start : position - 1]
            position += 2
        assert text[position : position + 2] == "}\n"
        position += 2
        assert match[2] not in found
        found[match[2]] = fields
    assert not text[position:].strip()
    return found


#: fields BibTeX's standard styles ask for
REQUIRED = {
    "article": {"author", "title", "journal", "year"}, "inproceedings": {"author", "title", "booktitle", "year"},
    "techreport": {"author", "title", "institution", "year"}, "manual": {"title"}, "misc": {"title"},
}  # fmt: skip


def test_bibtex_of_all_chips():
    described = [chips.hardware(name) for name in ALL]
    found = entries(chips.bibtex(described))
    assert list(found) == sorted({key for chip in described for key in chip.sources})
    for key, fields in found.items():
        assert fields["type"] in REQUIRED
        assert REQUIRED[fields["type"]] <= set(fields), key
        assert re.fullmatch(r"\d{4}", fields["year"])
        for name, text in fields.items():
            if name not in ("doi", "url", "eprint"):
                assert not re.search(r"(?<!\\)[&%#_]", text), f"{key}: {name} needs escaping for LaTeX"
        assert re.fullmatch(r"10\.\d{4,}/\S+", fields.get("doi", "10.1000/x")), key
        assert re.fullmatch(r"\d{4}\.\d{5}", fields.get("eprint", "1234.56789")), key
        assert ("archiveprefix" in fields) == ("eprint" in fields)
    assert found["davies2018loihi"]["doi"] == "10.1109/MM.2018.112130359"


def test_a_source_is_printed_once_and_must_not_differ_between_chips():
    first = chips.hardware("loihi1")
    assert chips.bibtex([first, first]) == chips.bibtex([first])
    (key, source), *_ = first.sources.items()
    other = msgspec.structs.replace(
        first, name="other", sources={**first.sources, key: msgspec.structs.replace(source, year=1999)}
    )
    with pytest.raises(HardwareError, match=f"other: source '{key}' is not the one of loihi1"):
        chips.bibtex([first, other])


def test_special_characters_are_escaped_once():
    source = chips.Source(
        type="online", title=r"A & B, 100 % of \_x #1", author="{C & D}", year=2000, url="https://x.y/a_b%20&c"
    )
    text = chips.bibtex([msgspec.structs.replace(chips.hardware("odin"), sources={"k": source})])
    assert r"title = {A \& B, 100 \% of \_x \#1}" in text
    assert "url = {https://x.y/a_b%20&c}" in text
    assert text.startswith("@misc{k,")


def test_citations_are_for_reading():
    sources = chips.hardware("odin").sources
    assert chips.citation(sources["frenkel2019odin"]) == (
        "Frenkel et al., A 0.086-mm² 12.7-pJ/SOP 64k-Synapse 256-Neuron Online-Learning Digital Spiking Neuromorphic Processor "
        "in 28-nm CMOS, IEEE Transactions on Biomedical Circuits and Systems, 2019. doi:10.1109/TBCAS.2018.2880425"
    )


# ---- the user's own file ----


def test_the_template_reads_as_it_stands_and_prices(tmp_path):
    path = tmp_path / "mychip.toml"
    path.write_text(chips.template(), encoding="utf-8")
    described = chips.hardware(str(path))
    assert described.name == "mychip"
    assert "template" not in ALL
    assert {key for _, statement in chips.statements(described) for key in statement.source} == set(described.sources)
    assert "synapses" in priced(described)
    assert "doe2025mychip" in entries(chips.bibtex([described]))


def test_the_template_explains_every_field_of_the_schema():
    words = set(re.findall(r"\w+", chips.template()))
    structs = [
        s for s in vars(schema).values() if isinstance(s, type) and issubclass(s, msgspec.Struct) and s is not msgspec.Struct
    ]
    assert len(structs) == 11
    for struct in structs:
        missing = set(struct.__struct_fields__) - words
        assert not missing, struct.__name__
    assert {*actions.PRICES, *actions.TIMES} <= words
    explained = chips.template()
    assert all(action in explained for action, entry in actions.ACTIONS.items() if entry.price)
    for choices in (schema.Method, schema.Grade):
        assert set(choices.__args__) <= words


def test_the_template_without_its_numbers_is_a_chip(tmp_path):
    """Only what must be there: everything unknown, nothing zero."""
    path = tmp_path / "bare.toml"
    path.write_text('name = "x"\ntitle = "x"\ndescription = "x"\n[sources]\n[limits]\n[prices]\n')
    described = chips.hardware(str(path))
    assert not dict(chips.statements(described))
    assert priced(described) == []
    shown = render(tables.chip(described), 80)
    fields = (*schema.Limits.__struct_fields__, *schema.Abilities.__struct_fields__, *actions.TIMES, *actions.PRICES)
    for name in (*fields, "barrier"):
        assert name in shown or name == "ecm_op_pj", name


# ---- files that are refused ----

HEAD = 'name = "x"\ntitle = "x"\ndescription = "x"\n'
SOURCE = '[sources.s]\ntype = "misc"\ntitle = "t"\nauthor = "a"\nyear = 2000\n'
GOOD = {"value": "1.0", "unit": '"pJ"', "source": '["s"]', "method": '"measured"', "grade": '"A"'}


def figure(**changes: str | None) -> str:
    fields = {key: text for key, text in {**GOOD, **changes}.items() if text is not None}
    return f"{{ {', '.join(f'{key} = {text}' for key, text in fields.items())} }}"


def refused(tmp_path: Path, content: str | bytes) -> str:
    path = tmp_path / "chip.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(HardwareError) as caught:
        chips.hardware(str(path))
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    return message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"grade": '"C"'}, "grade C is measured, expected derived or assumed"),
        ({"unit": '"nJ"'}, "synop_pj: unit is 'nJ', expected 'pJ'"),
        ({"value": "-1.0"}, "value is -1.0, expected a number that is not negative"),
        ({"value": "nan"}, "value is nan"),
        ({"value": "inf"}, "value is inf"),
        ({"value": '"1e-12"'}, "Expected `float`, got `str`"),
        ({"value": "true"}, "Expected `float`, got `bool`"),
        ({"low": "2.0"}, "value 1.0 is outside its range, 2.0 to 1.0"),
        ({"high": "0.5"}, "value 1.0 is outside its range, 1.0 to 0.5"),
        ({"low": "nan"}, "value is nan"),
        ({"source": '["other"]'}, "source 'other' is not in [sources]"),
        ({"source": "[]"}, "source"),
        ({"source": '"s"'}, "Expected `array`"),
        ({"source": None}, "missing required field `source`"),
        ({"method": None}, "missing required field `method`"),
        ({"method": '"guessed"'}, "method"),
        ({"value": None}, "missing required field `value`"),
        ({"sorce": '["s"]'}, "unknown field `sorce`"),
        ({"bound": '"about"'}, "bound"),
        ({"covers": '["sypnop_pj"]'}, "covers 'sypnop_pj', expected names of prices"),
        ({"covers": '["synop_pj"]'}, "synop_pj is given and also covered by synop_pj"),
    ],
)  # fmt: skip
def test_bad_figures(tmp_path, changes, message):
    assert message in refused(tmp_path, f"{HEAD}{SOURCE}[limits]\n[prices]\nsynop_pj = {figure(**changes)}\n")


def points(group: str, size: str, named: str, unit: str, sizes: list[int]) -> str:
    return "".join(f"[[{group}]]\n{size} = {n}\n{named} = {figure(unit=unit)}\n" for n in sizes)


PRICES = "[limits]\n[prices]\n"
COUNT = {"unit": '"neurons"'}
WEIGHTS, BITS = {"unit": '"weights"'}, {"unit": '"bit"'}
MEMORY = f"{PRICES}[memory]\naccess_bits = {figure(unit=chr(34) + 'bit' + chr(34), value='64')}\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f"[limits]\nneurons_per_core = {figure(value='1.5', **COUNT)}\n[prices]\n", "expected a whole number of neurons"),
        (f"[limits]\nneurons_per_core = {figure(value='0', **COUNT)}\n[prices]\n", "at least 1"),
        (f"[limits]\nneurons_per_core = {figure(value='9', low='8.5', **COUNT)}\n[prices]\n", "value is 8.5, expected a whole"),
        (f"[limits]\nweights_per_entry_dense = {figure(**WEIGHTS)}\n[prices]\n", "expected synaptic_entry_bits and"),
        (f"[limits]\nweights_per_entry_dense = {figure(low='0', **WEIGHTS)}\n[prices]\n", "value is 0.0, expected more than 0"),
        (
            f"[limits]\nweights_per_entry_convolution = {figure(value='8', high='9', **WEIGHTS)}\n"
            f"synaptic_entry_bits = {figure(value='64', **BITS)}\nweight_bits = {figure(value='8', **BITS)}\n[prices]\n",
            "weights_per_entry_convolution is 8, up to 9, expected at most synaptic_entry_bits / weight_bits = 8",
        ),
        (f"[limits]\nneurons = {figure(**COUNT)}\n[prices]\n", "unknown field `neurons`"),
        ("[limits]\n", "missing required field `prices`"),
        ("[prices]\n", "missing required field `limits`"),
        (f"{PRICES}[prices.ecm_op_pj]\nsoftmaks = {figure()}\n", "ecm_op_pj.softmaks: is no usual name; is it ecm_op_pj.s"),
        (f"{PRICES}[operations]\nint8_mul = {figure()}\n", "there is no 'int8_mul'; expected names of int8_add_pj, "),
        (PRICES + points("times.barrier", "tiles", "time", '"ns"', [4, 2]), "barrier: sizes are [4, 2], expected positive"),
        (PRICES + points("times.barrier", "tiles", "time", '"ns"', [0]), "barrier: sizes are [0]"),
        (PRICES + points("times.barrier", "tiles", "time", '"pJ"', [1]), "barrier.1: unit is 'pJ', expected 'ns'"),
        (MEMORY + points("memory.sram", "bytes", "access", '"pJ"', [64, 64]), "sram: sizes are [64, 64]"),
        (MEMORY + "sram = []\n", "sram"),
        (f"{PRICES}[abilities]\nweight_sharing = {figure(unit=None)}\n", "Expected `bool`, got `float`"),
        (
            "[limits]\n"
            + "".join(
                f"{name} = {figure(value=n, unit=unit)}\n"
                for name, n, unit in (("cores_per_chip", "9", '"cores"'), ("tile_columns", "2", '"tiles"'),
                                      ("tile_rows", "2", '"tiles"'), ("cores_per_tile", "2", '"cores"'))
            )
            + "[prices]\n",
            "cores_per_chip is 9, expected at most the 8",
        ),
    ],
)  # fmt: skip
def test_bad_groups(tmp_path, content, message):
    assert message in refused(tmp_path, HEAD + SOURCE + content)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (SOURCE.replace('"misc"', '"book"'), "type"),
        (SOURCE.replace("year = 2000", 'year = "2000"'), "Expected `int`"),
        (SOURCE.replace('title = "t"\n', ""), "missing required field `title`"),
        (SOURCE.replace('"t"', '""'), "title"),
        (SOURCE.replace('"t"', '"{t"'), "sources.s: title is '{t', expected balanced braces"),
        (SOURCE.replace('"t"', '"}{"'), "balanced braces"),
        (SOURCE.replace('"t"', r'"a\nb"'), r"sources.s.title: text is 'a\nb', expected one line"),
        (SOURCE.replace("sources.s", r'sources."a\nb"'), r"text is 'a\nb'"),
        (SOURCE.replace('"t"', r'"\u001b[2J"'), r"text is '\x1b[2J'"),
        (SOURCE.replace("sources.s", 'sources."a,b"'), "key is 'a,b', expected letters, digits"),
        (SOURCE + 'publisher = "p"\n', "unknown field `publisher`"),
    ],
)  # fmt: skip
def test_bad_sources(tmp_path, source, message):
    assert message in refused(tmp_path, HEAD + source + PRICES)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name = \n", "template"),
        ("", "missing required field `name`"),
        (b"\xff\xfe\x00", "utf-8"),
        ("a = " + "[" * 100_000, "template"),
        ("a = " + "{a = " * 100_000, "template"),
        (f"{HEAD}{'.'.join(['a'] * 100_000)} = 1", "line 4 has more than 200 dots"),
        ("[" + ".".join(["a"] * 100_000) + "]", "line 1 has more than 200 dots"),
        ("\n".join(f"{'.'.join([f'a{i}'] * 200)} = 1" for i in range(500)), "unknown field `a0`"),
        ("#" * (1 << 20) + "\n", "has 1,048,577 byte, expected at most 1,048,576"),
        ("name = 1979-05-27\n", "Expected `str`"),
        (f'{HEAD}{SOURCE}{PRICES}name = "y"\n', "prices.name: no price (Expected `object`, got `str`)"),
    ],
)
def test_files_that_are_none(tmp_path, content, message):
    assert message in refused(tmp_path, content)


def test_files_that_cannot_be_read(tmp_path, monkeypatch):
    with pytest.raises(HardwareError, match=r"nowhere\.toml: no such file"):
        chips.hardware("nowhere.toml")
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(HardwareError, match="no such file"):
        chips.hardware(str(tmp_path / "folder.toml"))
    (tmp_path / "locked.toml").write_text("")

    def locked(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", locked)
    with pytest.raises(HardwareError, match=r"locked\.toml: cannot be read: Permission denied"):
        chips.hardware(str(tmp_path / "locked.toml"))
    with pytest.raises(HardwareError, match="unknown chip 'lohi'; choose one of darwin3, dynapcnn, "):
        chips.hardware("lohi")


# ---- what is shown ----


def render(renderable: object, width: int) -> str:
    out = StringIO()
    Console(file=out, width=width).print(renderable)
    return out.getvalue()


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("name", ALL)
def test_a_chip_is_shown_whole(name, width):
    described = chips.hardware(name)
    shown = render(tables.chip(described), width)
    assert max(map(len, shown.splitlines())) <= width
    assert "…" not in shown
    for key, statement in chips.statements(described):
        group, _, kind = key.partition(".")
        assert (group if group in ("barrier", "sram") else kind or group) in shown, key
        assert f"{statement.method} {statement.grade}" in shown
        if isinstance(statement, chips.Figure):
            assert f"{statement.value:,.12g} {statement.unit}" in shown, key
    for key in described.sources:
        assert f"] {key}: " in shown
    words = set(re.findall(r"\w+", shown))
    fields = {*schema.Limits.__struct_fields__, *schema.Abilities.__struct_fields__, *actions.TIMES, *actions.PRICES, "barrier"}
    fields |= {"node_nm", "supply_v"}
    assert fields - {"ecm_op_pj"} <= words, "a field that is neither known nor said to be unknown"


@pytest.mark.parametrize("width", [80, 120])
def test_the_list_shows_every_chip(width):
    shown = render(tables.chips([chips.hardware(name) for name in ALL]), width)
    assert max(map(len, shown.splitlines())) <= width
    assert "…" not in shown
    assert all(f" {name} " in shown for name in ALL)


def test_markup_in_a_users_file_is_shown_not_obeyed(tmp_path):
    path = tmp_path / "chip.toml"
    path.write_text(f"{HEAD.replace('title = ' + chr(34) + 'x', 'title = ' + chr(34) + '[red]x[/blue]')}{SOURCE}{PRICES}")
    described = chips.hardware(str(path))
    assert "[red]x[/blue]" in render(tables.chip(described), 80)
    assert "[red]x[/blue]" in render(tables.chips([described]), 80)


def test_the_page_has_the_table_of_the_files():
    page = Path(__file__).parents[2] / "docs" / "chips.md"
    assert block(page, "overview") == overview(), "run `python -m docs.generate.printed`"
    assert block(page.with_name("energy.md"), "assumed") == assumed(), "run `python -m docs.generate.printed`"
    assert block(page, "recipes") == recipes(), "run `python -m docs.generate.printed`"


@pytest.mark.parametrize(
    ("arguments", "start"),
    [
        ([], "Chips"),
        (["odin"], "ODIN (28 nm), measured"),
        (["odin", "--bibtex"], "@article{frenkel2019odin,"),
        (["--bibtex"], "@article{akopyan2015truenorth,"),
        (["--template"], "# A chip of one's own"),
    ],
)
def test_the_verb(arguments, start, monkeypatch, capsys):
    from ecmt_deploy.cli import main

    monkeypatch.setattr("sys.argv", ["ecmt-deploy", "hardware", *arguments])
    main()
    assert capsys.readouterr().out.startswith(start)


def test_the_verb_refuses_in_one_line(monkeypatch, capsys):
    from ecmt_deploy.cli import main

    for arguments in (["odin", "--template"], ["--template", "--bibtex"], ["nochip"]):
        monkeypatch.setattr("sys.argv", ["ecmt-deploy", "hardware", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code == 2
        assert capsys.readouterr().err.count("\n") == 1
