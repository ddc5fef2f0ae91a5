"""Tests of rust.py: `python3 -m unittest discover ci/source`."""

from __future__ import annotations

import unittest

import cycles
import rust


def graph(**sources: str) -> dict[str, set[str]]:
    """The graph of a crate; `a__b` is the text of src/a/b.rs, `a__mod` that of src/a/mod.rs."""
    files = {f"src/{name.replace('__', '/')}.rs": text for name, text in sources.items()}
    found = rust.uses(rust.load("src/lib.rs", files))
    return {
        file.removeprefix("src/"): {target.removeprefix("src/") for target in targets}
        for file, targets in found.items()
    }


class Imports(unittest.TestCase):
    def test_a_file_depends_on_the_files_whose_items_it_names(self) -> None:
        found = graph(
            lib="mod a;\nmod b;\n",
            a="use crate::b::{self, Thing as Other, inner::deep};\npub struct A;",
            b="pub struct Thing; pub fn f() { let x = crate::a::A; }",
        )
        self.assertEqual(found, {"lib.rs": set(), "a.rs": {"b.rs"}, "b.rs": {"a.rs"}})
        self.assertEqual(set(cycles.cycle(found)), {"a.rs", "b.rs"})

    def test_an_item_that_a_parent_re_exports_belongs_to_its_child(self) -> None:
        found = graph(
            lib="mod a;\npub use a::Thing;\n",
            a__mod="mod one;\nmod two;\npub use self::one::Thing;\npub(crate) use two::*;",
            a__one="pub struct Thing;",
            a__two="use super::Thing;\nuse crate::Thing as Same;\npub fn other() {}",
        )
        self.assertEqual(found["a/two.rs"], {"a/one.rs"})
        self.assertEqual((found["lib.rs"], found["a/mod.rs"]), (set(), set()))

    def test_a_parent_that_uses_its_child_and_is_used_by_it_is_a_cycle(self) -> None:
        found = graph(
            lib="mod a;",
            a__mod="mod one;\nuse one::f;\npub struct Config;",
            a__one="use super::Config;\npub fn f() {}",
        )
        self.assertEqual(set(cycles.cycle(found)), {"a/mod.rs", "a/one.rs"})

    def test_names_that_were_exported_with_a_glob_are_found(self) -> None:
        found = graph(
            lib="mod a;\nmod b;",
            a__mod="mod one;\npub use one::*;",
            a__one="pub fn f() {}",
            b="use crate::a::f;",
        )
        self.assertEqual(found["b.rs"], {"a/one.rs"})

    def test_tests_comments_and_strings_do_not_count(self) -> None:
        found = graph(
            lib="mod a;\nmod b;\n#[cfg(test)]\nmod tests;",
            a='// use crate::b::B;\nconst S: &str = "use crate::b::B; {";\n#[cfg(test)]\nmod tests { use crate::b::B; fn f() {} }\npub struct A;',
            b="use crate::a::A;\npub struct B;",
            tests="use crate::a::A;",
        )
        self.assertEqual(found, {"lib.rs": set(), "a.rs": set(), "b.rs": {"a.rs"}})

    def test_visibility_and_other_crates_do_not_count(self) -> None:
        found = graph(
            lib="mod a;\nmod b;",
            a="use tokio::sync::watch;\npub(in crate::b) struct A;\npub(super) fn refuse() {}",
            b="",
        )
        self.assertEqual(found["a.rs"], set())


if __name__ == "__main__":
    unittest.main()
