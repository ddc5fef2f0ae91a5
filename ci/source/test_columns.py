"""Tests of columns.py: `python3 -m unittest discover ci/source`."""

from __future__ import annotations

import re
import unittest

import columns

LONG = "word " * 25
PATH = "x" * 120


class Lines(unittest.TestCase):
    def check(self, path: str, text: str, expected: list[int]) -> None:
        tokens = columns.language(path)
        assert isinstance(tokens, re.Pattern)
        self.assertEqual(columns.too_long(text, tokens), expected)

    def test_paragraphs_count_and_tables_code_and_single_words_do_not(self) -> None:
        text = f"{LONG}\n| {LONG} |\n```\n{LONG}\n```\n* {PATH}\n[1]: {PATH}\n- {LONG}"
        self.check("a.md", text, [1, 8])

    def test_comments_in_rust_count_also_after_code_and_strings_do_not(self) -> None:
        text = f'//! {LONG}\nlet s = "// {LONG}";\nlet {PATH}; // short\n/* a\n{LONG}*/\n/// | {LONG} |\n/// {PATH}'
        self.check("a.rs", text, [1, 3, 5])

    def test_comments_in_yaml_shell_and_templates_count(self) -> None:
        text = f"# {LONG}\na: '{PATH} # x'\nb: {PATH} # short\n{{{{- /*\n{LONG}\n*/}}}}\nc: {PATH}#{PATH}"
        for path in ("a.yaml", "Dockerfile", "ci/chart"):
            self.check(path, text, [1, 3, 5])
        self.assertIsNone(columns.language("LICENSE-MIT"))


if __name__ == "__main__":
    unittest.main()
