"""Values that JavaScript modules export, and what is no value."""

from __future__ import annotations

import contextlib
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffezoo.weights.js_literal import MAX_DEPTH, exported_literal
from tests.weights.tfjs_writer import BUNDLE, minified


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{}", {}),
        ("[]", []),
        ("{a:1,$b_2:[-.5,1e-3,2.,+0],}".replace("+0", "0"), {"a": 1, "$b_2": [-0.5, 0.001, 2.0, 0]}),
        ("[!0,!1,true,false,null,]", [True, False, True, False, None]),
        (r'"a\"\u00e9\n\x41"', 'a"\u00e9\nA'),
        (r"'it\'s \\ \0'", "it's \\ \0"),
        ('{"a b":\n [ "c" ] }', {"a b": ["c"]}),
    ],
)
def test_literals(text: str, value: object) -> None:
    assert exported_literal(BUNDLE % text) == value
    assert exported_literal(f"module.exports = {text};") == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("n.exports=a()", "exports no literals"),
        ("n.exports={};m.exports=[]", "exports 2 literals"),
        ("n.exports=[require('fs')]", "no literal at character 11: 'require'"),
        ("n.exports={a:1+1}", "no literal"),
        ("n.exports={a:1 b:1}", ", or } wanted"),
        ("n.exports=[1,,2]", "no literal"),
        ("n.exports={a:1", "too early"),
        ("n.exports=['a", "no literal"),
        ("n.exports=[undefined]", "undefined"),
        ("n.exports={[a]:1}", "no key"),
        ("n.exports=[1n]", "no literal"),
        ("n.exports=" + "[" * 200, f"more than {MAX_DEPTH} deep"),
    ],
)
def test_what_would_have_to_run_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        exported_literal(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.lists(JSON, max_size=3))
def test_reads_what_is_json_and_what_a_minifier_makes_of_it(value: list[object]) -> None:
    assert exported_literal("x.exports=" + json.dumps(value)) == value
    assert exported_literal("x.exports=" + minified(value)) == value


@given(st.text(alphabet="{}[]:,\"'\\!01ab.e- \n", max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(ValueError):
        exported_literal("x.exports={" + text)
