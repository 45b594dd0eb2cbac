"""Prices of functions by recipe: by hand, monotone, and unknown where a primitive has no price."""

import ast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecmt_deploy import chips
from ecmt_deploy.chips import recipes
from ecmt_deploy.chips.actions import KINDS
from ecmt_deploy.program.functions import FUNCTIONS
from ecmt_deploy.program.primitives import ACCESSES, ARITHMETIC, compensated
from tests.support.two_layers import figure

SENECA, HOROWITZ = chips.hardware("seneca"), chips.hardware("horowitz45")


def without(chip, *names):
    return msgspec.structs.replace(chip, operations={n: f for n, f in chip.operations.items() if n not in names})


def test_every_kind_has_a_recipe_of_known_primitives():
    assert set(recipes.RECIPES) == set(KINDS)
    for kind, recipe in recipes.RECIPES.items():
        assert recipe is not None, f"{kind}: count its primitives"
        for part in recipe:
            assert set(part) <= {*ARITHMETIC, *ACCESSES}
            assert all(times > 0 and times == int(times) for times in part.values())
        assert recipe.element.get("load"), f"{kind}: what does it work on?"
        assert set(recipe.element) & set(ARITHMETIC)
    for name, function in FUNCTIONS.items():
        # a sum for each operand and the difference that is sent: two additions for a function of one operand
        assert recipes.RECIPES[name].element["add"] >= function.operands + 1
        assert bool(function.row_primitives) == bool(function.reductions), (
            f"{name}: work once per row, and reductions, or neither"
        )


@pytest.mark.parametrize(
    ("kind", "low", "value", "high"),
    [
        # add, mul 1.4, compare 1.2, load, table 3.7, store 3.9; an ECM keeps sum and difference: 2 adds, 3 loads, 2 stores
        ("gelu", 3.7 + 3 * 1.4 + 2.8, 10.7 + 3 * 3.7 + 2 * 3.9, 29.6 + 2 * 1.4),
        ("relu", 1.2 + 2.8, 4.0 + 3 * 3.7 + 2 * 3.9, 22.9 + 2.8),
        # maximum, 3 adds, exponential's table and mul, mul; 2 loads and a store more; a sixteenth of 2 tables, 2 muls, an add
        ("softmax", 1.2 + 5 * 1.4 + 3.7 + 2 * 1.4, 14.7 + 5 * 3.7 + 3 * 3.9 + (7.4 + 4.2) / 16, 14.7 + 30.2 + 0.725 + 2.8),
        # 4 adds, 3 muls; 4 loads and a store more; a sixteenth of 2 tables, 4 muls, 2 adds
        ("layer_norm", 9 * 1.4, 12.6 + 7 * 3.7 + 3 * 3.9 + (7.4 + 8.4) / 16, 12.6 + 37.6 + 0.9875 + 2.8),
        # two operands: another sum; in rate coding another mul
        ("divide", 3.7 + 6 * 1.4 + 1.2, 13.3 + 5 * 3.7 + 3 * 3.9, 43.5 + 3 * 1.4),
        ("add", 1.4, 1.4 + 2 * 3.7 + 3.9, 12.7),
        ("scale", 1.4, 12.7, 12.7),
        ("mean", 1.4, 1.4 + 3.7 + (1.4 + 3.9) / 16, 5.43125),
        ("readout", 1.4, 12.7, 14.1),
        ("product_readout", 1.4, 12.7, 14.1),
    ],
)  # fmt: skip
def test_senecas_prices_by_hand(kind, low, value, high):
    price = recipes.function_prices(SENECA)[f"ecm_op_pj.{kind}"]
    assert (price.low, price.value, price.high) == pytest.approx((low, value, high))
    assert (price.bound, price.method, price.grade, price.source) == ("exact", "derived", "C", ("tang2023seneca",))


@pytest.mark.parametrize(
    ("kind", "low", "value"),
    # fp32 add (and compare) 0.9, mul 3.7; 32 bits of an access of 64 to 8 KB are 5
    [("gelu", 5 + 2 * 3.7 + 3 * 0.9, 15.1 + 25), ("clamp", 4 * 0.9, 3.6 + 25), ("hold", 0.9, 15.9), ("sqrt", 20.1, 45.1)],
)
def test_prices_at_45_nm_by_hand(kind, low, value):
    price = recipes.function_prices(HOROWITZ)[f"ecm_op_pj.{kind}"]
    assert (price.low, price.value) == pytest.approx((low, value))
    assert price.bound == "exact"


@pytest.mark.parametrize("chip", [SENECA, HOROWITZ], ids=lambda chip: chip.name)
def test_the_derivation_of_a_price_is_its_arithmetic(chip):
    for name, price in recipes.function_prices(chip).items():
        tree = ast.parse(price.derivation, mode="eval")
        assert {type(node) for node in ast.walk(tree)} <= {
            ast.Expression, ast.BinOp, ast.Add, ast.Mult, ast.Div, ast.Constant,
        }  # fmt: skip
        assert eval(compile(tree, name, "eval")) == pytest.approx(price.value)
        assert 0 < price.low <= price.value <= price.high


def test_what_has_no_price_is_unknown_or_a_lower_bound():
    assert recipes.function_prices(without(SENECA, "fp16_mul_pj")) == {}
    no_accesses = recipes.function_prices(without(SENECA, "fp16_load_pj", "fp16_store_pj"))
    assert "ecm_op_pj.gelu" not in no_accesses, "a table cannot be read"
    assert "ecm_op_pj.softmax" not in no_accesses
    relu = no_accesses["ecm_op_pj.relu"]
    assert (relu.bound, relu.value) == ("lower", pytest.approx(4.0))
    no_compare = recipes.function_prices(without(SENECA, "fp16_compare_pj"))["ecm_op_pj.relu"]
    assert no_compare.low == pytest.approx(3 * 1.4), "a compare is a subtraction"
    assert recipes.function_prices(chips.hardware("odin")) == {}


def test_what_a_file_prices_itself_is_not_made_by_recipe():
    own = msgspec.structs.replace(SENECA, prices={**SENECA.prices, "ecm_op_pj.gelu": figure(1)})
    assert set(recipes.function_prices(SENECA)) - set(recipes.function_prices(own)) == {"ecm_op_pj.gelu"}


@given(st.floats(0, 1e3), st.floats(0, 1e3), st.integers(1, 3))
def test_prices_grow_with_what_they_are_made_of(add, load, operands):
    costs = {
        "add": figure(add),
        "mul": figure(1),
        "compare": figure(1),
        "table": figure(2),
        "load": figure(load),
        "store": figure(1),
    }
    cheap, dear = (recipes.by_recipe({**costs, "add": figure(add + more)}, "x", "derived", "C") for more in (0.0, 1.0))
    for name, price in cheap.items():
        assert price.value <= dear[name].value
        assert price.low <= price.value <= price.high
    assert compensated({"add": 1}, {}, operands).element["add"] == operands + 2
