//! The repository keeps its own rules. What a compiler cannot check, this reads.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

const LINE_MAX: usize = 120;
const FILE_MAX: usize = 700;
const TOP_FOLDERS: [&str; 5] = ["core", "runtime-embassy", "runtime-std", "sim", "tests"];
/// Spelled in halves, for this file is read too.
const UNFINISHED: [&str; 6] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("todo", "!("),
    concat!("unimple", "mented!("),
    concat!("dbg", "!("),
];
/// The one file of core that is compiled with a host's standard library only (feature `host`).
const OF_HOSTS: &str = "core/src/crypto/host.rs";
/// What a program of a microcontroller does not have, or what would make a run depend on the machine.
const NOT_IN_CORE: [&str; 8] =
    ["std::", "Instant::now", "SystemTime", "HashMap", "HashSet", "thread_rng", "unsafe {", "println!"];
const FLOATS: [&str; 2] = ["f32", "f64"];

#[test]
fn lines_and_files_are_short() {
    let mut wrong = Vec::new();
    for file in sources("") {
        if file.text.lines().count() > FILE_MAX {
            wrong.push(format!("{}: {} lines, at most {FILE_MAX}", file.name, file.text.lines().count()));
        }
        for (number, line) in file.lines() {
            if line.chars().count() > LINE_MAX {
                wrong.push(format!("{}:{number}: {} columns, at most {LINE_MAX}", file.name, line.chars().count()));
            }
            if line.contains('\t') || line.ends_with(' ') {
                wrong.push(format!("{}:{number}: a tab, or a space at the end", file.name));
            }
        }
        if !file.text.ends_with('\n') || file.text.ends_with("\n\n") {
            wrong.push(format!("{}: does not end with exactly one newline", file.name));
        }
    }
    assert_none(&wrong);
}

#[test]
fn nothing_is_left_unfinished() {
    let mut wrong = Vec::new();
    for file in sources("") {
        for (number, line) in file.lines() {
            wrong.extend(
                UNFINISHED
                    .iter()
                    .filter(|word| line.contains(*word))
                    .map(|word| format!("{}:{number}: {word}", file.name)),
            );
        }
    }
    assert_none(&wrong);
}

#[test]
fn every_module_tells_what_it_is() {
    let files = sources("");
    let wrong: Vec<String> =
        files.iter().filter(|file| !file.text.starts_with("//! ")).map(|file| file.name.clone()).collect();
    assert_none(&wrong);
}

#[test]
fn core_needs_nothing_of_a_host() {
    let mut wrong = Vec::new();
    let files = sources("core/src");
    assert!(files.iter().any(|file| file.name == "core/src/lib.rs"), "looked in the wrong place");
    let for_tests: Vec<PathBuf> = files.iter().flat_map(Source::test_modules).collect();
    let is_for_tests =
        |name: &str| for_tests.iter().any(|module| Path::new(name).with_extension("").starts_with(module));
    for file in files.iter().filter(|file| !is_for_tests(&file.name) && file.name != OF_HOSTS) {
        for (number, line) in file.product_lines() {
            let code = line.split("//").next().unwrap_or_default();
            let foreign = NOT_IN_CORE.iter().filter(|word| code.contains(*word));
            let floats = FLOATS.iter().filter(|word| words(code).any(|found| found == **word));
            wrong.extend(foreign.chain(floats).map(|word| format!("{}:{number}: {word}", file.name)));
        }
    }
    assert_none(&wrong);
}

/// Unsafe code stands only where a C library is called or a platform needs it, and always with its reason.
#[test]
fn unsafe_code_is_where_it_may_be() {
    let allowed = [
        "runtime-embassy/firmware/mps2-an386/src/",
        "tests/src/bin/toxpeer/",
        "tests/src/sodium.rs",
        "tests/tests/tidy.rs",
        "tests/tests/allocations.rs",
    ];
    let mut wrong = Vec::new();
    for file in sources("") {
        if allowed.iter().any(|place| file.name.starts_with(place)) {
            continue;
        }
        for (number, line) in file.lines() {
            let code = line.split("//").next().unwrap_or_default();
            if words(code).any(|word| word == "unsafe") {
                wrong.push(format!("{}:{number}: unsafe", file.name));
            }
        }
    }
    assert_none(&wrong);
}

/// A file that no `mod` names is not compiled, so its tests do not run.
#[test]
fn every_module_is_reachable() {
    let files = sources("");
    let mut wrong = Vec::new();
    for file in &files {
        let path = Path::new(&file.name);
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let Some(folder) = path.parent() else { continue };
        if !folder.components().any(|part| part.as_os_str() == "src") || ["lib", "main"].contains(&stem) {
            continue;
        }
        let (module, place) = match (stem, folder.file_name(), folder.parent()) {
            ("mod", Some(name), Some(above)) => (name.to_str().unwrap_or_default(), above),
            (_, _, _) => (stem, folder),
        };
        if place.file_name().is_some_and(|name| name == "bin") {
            continue;
        }
        let named = |other: &&Source| declares(&other.text, module);
        if !files.iter().filter(|other| is_parent_of(Path::new(&other.name), place)).any(|other| named(&other)) {
            wrong.push(format!("{}: no `mod {module};` in {}", file.name, place.display()));
        }
    }
    assert_none(&wrong);
}

#[test]
fn the_top_level_has_exactly_the_packages() {
    let tracked = git(&["ls-files"]);
    let folders: BTreeSet<&str> = tracked
        .lines()
        .filter_map(|path| path.split_once('/').map(|(folder, _)| folder))
        .filter(|folder| !folder.starts_with('.'))
        .collect();
    assert_eq!(folders, BTreeSet::from(TOP_FOLDERS));
}

#[test]
fn packages_say_who_they_are() {
    let mut wrong = Vec::new();
    for folder in TOP_FOLDERS {
        let manifest = read(&root().join(folder).join("Cargo.toml"));
        let inherited = ["version", "edition", "rust-version", "license", "authors"];
        for field in inherited.map(|field| format!("{field}.workspace = true")) {
            if !manifest.lines().any(|line| line == field) {
                wrong.push(format!("{folder}/Cargo.toml: no `{field}`"));
            }
        }
        if !manifest.contains("\ndescription = \"") {
            wrong.push(format!("{folder}/Cargo.toml: no description"));
        }
        if !manifest.contains("[lints]\nworkspace = true\n") {
            wrong.push(format!("{folder}/Cargo.toml: does not inherit the lints"));
        }
    }
    assert_none(&wrong);
}

struct Source {
    /// Path from the repository's root.
    name: String,
    text: String,
}

impl Source {
    /// Lines, counted from 1.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(i, line)| (i + 1, line))
    }

    /// The modules in files of their own that it declares for tests only, as paths without `.rs`.
    fn test_modules(&self) -> Vec<PathBuf> {
        let path = Path::new(&self.name);
        let is_root = ["mod.rs", "lib.rs", "main.rs"].iter().any(|name| path.ends_with(name));
        let folder = if is_root { path.parent().unwrap_or(path).into() } else { path.with_extension("") };
        let pairs = self.text.lines().zip(self.text.lines().skip(1));
        let declared = pairs.filter(|(line, _)| is_test_attribute(line)).filter_map(|(_, next)| module_in(next));
        declared.map(|module| folder.join(module)).collect()
    }

    /// Lines that are compiled into the product: no test modules, no `#[cfg(test)]` items.
    ///
    /// A heuristic that rustfmt makes reliable: what `#[cfg(test)]` covers ends at the first line that closes it at the
    /// same indentation, or with a semicolon.
    fn product_lines(&self) -> Vec<(usize, &str)> {
        let mut lines = Vec::new();
        let mut skipping: Option<usize> = None;
        for (number, line) in self.lines() {
            let indentation = line.len() - line.trim_start().len();
            match skipping {
                Some(depth) => {
                    let one_line = indentation == depth && line.ends_with(';');
                    let closed = indentation == depth && line.trim_start().starts_with('}');
                    if one_line || closed {
                        skipping = None;
                    }
                }
                None if is_test_attribute(line) => skipping = Some(indentation),
                None => lines.push((number, line)),
            }
        }
        lines
    }
}

/// Whether `text` has the module `name`, at any visibility.
fn declares(text: &str, name: &str) -> bool {
    text.lines().any(|line| module_in(line) == Some(name))
}

/// The module in a file of its own that this line declares.
fn module_in(line: &str) -> Option<&str> {
    let (before, name) = line.trim().strip_suffix(';')?.rsplit_once("mod ")?;
    (before.is_empty() || before.starts_with("pub")).then_some(name)
}

/// Whether modules in `folder` are declared in `file`: `folder/mod.rs`, its `lib.rs` or `main.rs`, or `folder.rs`.
fn is_parent_of(file: &Path, folder: &Path) -> bool {
    let inside = ["mod.rs", "lib.rs", "main.rs"].iter().any(|name| file == folder.join(name));
    inside || file == folder.with_extension("rs")
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_')
}

/// Every Rust file that git knows under `folder`.
fn sources(folder: &str) -> Vec<Source> {
    let listed = git(&["ls-files", "--cached", "--others", "--exclude-standard", &format!("{folder}*.rs")]);
    let folder = Path::new(folder);
    let names = listed.lines().filter(|name| Path::new(name).starts_with(folder));
    let existing = names.filter(|name| root().join(name).is_file());
    let files: Vec<Source> =
        existing.map(|name| Source { name: name.into(), text: read(&root().join(name)) }).collect();
    assert!(!files.is_empty(), "no Rust files under {folder:?}");
    files
}

fn git(args: &[&str]) -> String {
    let output = Command::new("git").args(args).current_dir(root()).output().expect("git is installed");
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("file names are UTF-8")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().expect("the package lies in the repository").into()
}

fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

/// Whether what follows is compiled for tests only.
fn is_test_attribute(line: &str) -> bool {
    ["#[cfg(test)]", "#[cfg(all(test,"].iter().any(|attribute| line.trim_start().starts_with(attribute))
}
