use std::fs;
use std::path::{Path, PathBuf};

/// A file of Rust source: the path of its module, as cargo prints it, and its text.
struct Source {
    module: String,
    text: String,
}

/// All files below a folder of the repository.
fn sources(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let (mut sources, mut folders) = (Vec::new(), vec![root.clone()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let below = path.strip_prefix(&root).expect("it is below").with_extension("");
                let names: Vec<_> =
                    below.iter().filter_map(|name| name.to_str()).filter(|name| *name != "mod").collect();
                sources.push(Source { module: names.join("::"), text: fs::read_to_string(&path).expect("a file") });
            }
        }
    }
    sources
}

impl Source {
    /// Whether `name`, below this module, is a function that is run as a test.
    fn has_test(&self, name: &str) -> bool {
        let (modules, function) = name.rsplit_once("::").map_or((None, name), |(modules, name)| (Some(modules), name));
        let mut inside = modules.into_iter().flat_map(|modules| modules.split("::"));
        let begins = format!("fn {function}(");
        // The steps of the test without a harness are plain functions, called one after the other.
        let mut is_test = self.module.starts_with("no_allocation");
        let always = is_test;
        let mut found = false;
        for line in self.text.lines().map(str::trim) {
            found |= is_test && line.starts_with(&begins);
            is_test = always || line == "#[test]" || (is_test && line.starts_with("#["));
        }
        found && inside.all(|module| self.text.contains(&format!("mod {module} {{")))
    }
}

/// The words in backquotes of the last cell of each row of a page's tables whose head ends in `test`.
fn named_tests(page: &str) -> Vec<&str> {
    let mut named = Vec::new();
    let mut in_table = false;
    for line in page.lines() {
        let last = line.trim_end_matches('|').rsplit('|').next().unwrap_or_default().trim();
        match line.starts_with('|') {
            false => in_table = false,
            true if last == "test" => in_table = true,
            true if in_table && !last.starts_with("---") => {
                let words: Vec<&str> = last.split('`').skip(1).step_by(2).collect();
                assert!(!words.is_empty(), "a row without a test: {line}");
                named.extend(words);
            }
            true => {}
        }
    }
    named
}

/// The table of bad inputs and faults names only tests and scripts that there are.
#[test]
fn every_test_of_the_robustness_page_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/ROBUSTNESS.md")).expect("the page");
    let sources: Vec<Source> = ["tests", "src"].into_iter().flat_map(sources).collect();
    let named = named_tests(&page);
    assert!(named.len() > 100, "only {} tests are named", named.len());
    let missing = |name: &&str| {
        if name.starts_with("scripts/") {
            return !root.join(name.split(' ').next().unwrap_or_default()).is_file();
        }
        let below = |source: &Source| Some(name.strip_prefix(&source.module)?.strip_prefix("::")?.to_string());
        !sources.iter().any(|source| below(source).is_some_and(|rest| source.has_test(&rest)))
    };
    let missing: Vec<_> = named.into_iter().filter(missing).collect();
    assert!(missing.is_empty(), "docs/ROBUSTNESS.md names what there is not: {missing:#?}");
}

/// Every link of the documents to a file of the repository leads to one.
#[test]
fn links_lead_somewhere() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let pages = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "fuzz/README.md"]
        .map(|page| root.join(page));
    let folders = ["docs", "docs/plugins"].map(|folder| fs::read_dir(root.join(folder)).expect("a folder of pages"));
    let docs = folders.into_iter().flatten().map(|entry| entry.expect("an entry").path()).filter(|path| path.is_file());
    for page in pages.into_iter().chain(docs) {
        let text = fs::read_to_string(&page).expect("a page");
        for link in text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
            let leads = link.is_empty() || link.contains("://") || page.with_file_name(link).exists();
            assert!(leads, "{}: {link}", page.display());
        }
    }
}
