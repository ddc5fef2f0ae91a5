"""Tests of columns.py: `python3 -m unittest discover ci/source`."""

from __future__ import annotations

import unittest
from collections.abc import Callable

import columns

LONG = "word " * 25
PATH = "x" * 120


class Lines(unittest.TestCase):
    def check(self, find: Callable[[str], columns.Prose], text: str, expected: list[int]) -> None:
        self.assertEqual(columns.too_long(text, find), expected)

    def test_paragraphs_count_and_tables_code_and_single_words_do_not(self) -> None:
        text = f"{LONG}\n| {LONG} |\n```\n{LONG}\n```\n* {PATH}\n[1]: {PATH}\n- {LONG}"
        self.check(columns.in_markdown, text, [1, 8])

    def test_comments_in_rust_count_also_after_code_and_strings_do_not(self) -> None:
        text = f'//! {LONG}\nlet s = "// {LONG}";\nlet {PATH}; // short\n/* a\n{LONG}*/\n/// | {LONG} |\n/// {PATH}'
        self.check(columns.in_rust, text, [1, 3, 5])

    def test_docstrings_and_comments_in_python_count_and_other_strings_do_not(self) -> None:
        text = f'"""{LONG}"""\nX = """{LONG}"""\n{PATH} = 1  # short\n{PATH} = 2  # noqa: E501\n# {LONG}'
        self.check(columns.in_python, text, [1, 3, 5])

    def test_comments_in_yaml_shell_and_templates_count(self) -> None:
        text = f"# {LONG}\na: '{PATH} # x'\nb: {PATH} # short\n{{{{- /*\n{LONG}\n*/}}}}\nc: {PATH}#{PATH}"
        self.check(columns.in_hashes, text, [1, 3, 5])

    def test_programs_without_an_extension_are_known_by_their_first_line(self) -> None:
        self.assertIs(columns.language("ci/loss"), columns.in_python)
        self.assertIs(columns.language("ci/chart"), columns.in_hashes)
        self.assertIs(columns.language("Dockerfile"), columns.in_hashes)
        self.assertIsNone(columns.language("LICENSE-MIT"))


if __name__ == "__main__":
    unittest.main()
