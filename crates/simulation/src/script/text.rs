//! The text of a script: blocks of commands, each followed by its output.

use std::fmt::Write;

use super::command::Command;
use super::error::ScriptError;

/// Separates the commands of a block from their output.
const SEPARATOR: &str = "---";
/// The output of a block that has none.
const NO_OUTPUT: &str = "ok";

/// Commands and their output.
#[derive(Debug)]
pub(super) struct Block {
    /// The lines up to the separator as they are in the file, with comments.
    source: Vec<String>,
    /// The commands, each with the number of its line.
    pub(super) commands: Vec<(usize, Command)>,
}

/// A script without its output, which is what a run writes.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) blocks: Vec<Block>,
    /// What follows the last block: comments.
    rest: Vec<String>,
}

impl Script {
    pub(super) fn parse(text: &str) -> Result<Self, ScriptError> {
        let (mut blocks, mut source, mut commands) = (Vec::new(), Vec::new(), Vec::new());
        let mut in_output = false;
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim_end();
            if in_output {
                in_output = !line.is_empty();
                continue;
            }
            if line == SEPARATOR {
                if commands.is_empty() {
                    return Err(ScriptError::new(number, "there is no command before this line"));
                }
                blocks.push(Block { source: std::mem::take(&mut source), commands: std::mem::take(&mut commands) });
                in_output = true;
                continue;
            }
            source.push(line.to_owned());
            let command = line.trim_start();
            if !command.is_empty() && !command.starts_with('#') {
                let command = Command::parse(command).map_err(|what| ScriptError::new(number, what))?;
                commands.push((number, command));
            }
        }
        if let Some((number, _)) = commands.first() {
            return Err(ScriptError::new(*number, format!("a line {SEPARATOR} must follow this block")));
        }
        Ok(Self { blocks, rest: source })
    }

    /// The script with the output of each of its blocks.
    pub(super) fn with_output(&self, outputs: &[Vec<String>]) -> String {
        let mut text = String::new();
        let mut line = |line: &str| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{line}");
        };
        for (n, (block, output)) in self.blocks.iter().zip(outputs).enumerate() {
            if n > 0 {
                line("");
            }
            for source in &block.source {
                line(source);
            }
            line(SEPARATOR);
            for output in output {
                line(output);
            }
            if output.is_empty() {
                line(NO_OUTPUT);
            }
        }
        if !self.rest.is_empty() {
            line("");
            for rest in &self.rest {
                line(rest);
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# What it shows.\n\nstore\n---\nok\n\n# Why.\nadvance 1s\n\nstatus\n---\na\nb\n\n# End.\n";

    #[test]
    fn a_script_with_its_own_output_is_the_same_text() {
        let script = Script::parse(TEXT).unwrap();
        let lines: Vec<Vec<_>> =
            script.blocks.iter().map(|block| block.commands.iter().map(|(line, _)| *line).collect()).collect();
        assert_eq!(lines, [vec![3], vec![8, 10]]);
        assert_eq!(script.with_output(&[vec![], vec!["a".to_owned(), "b".to_owned()]]), TEXT);
    }

    #[test]
    fn mistakes_name_their_line() {
        let mistakes = [
            ("store\n---\n\nfly\n---\n", "line 4: there is no command fly"),
            ("store\n", "line 1: a line --- must follow this block"),
            ("# nothing\n---\n", "line 2: there is no command before this line"),
        ];
        for (text, expected) in mistakes {
            assert_eq!(Script::parse(text).unwrap_err().to_string(), expected);
        }
    }
}
