use std::fs;
use std::path::Path;

#[path = "../../fuzz/src/lib.rs"]
mod bodies;

/// Runs every file of `folder` through `run`; gives how many there were.
fn replay(folder: &Path, run: fn(&[u8])) -> usize {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut count = 0;
    for entry in entries {
        let path = entry.expect("a readable folder").path();
        if path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")) {
            continue;
        }
        let data = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        // A panic names no input: say which one is next, shown only when the test fails.
        println!("{}", path.display());
        run(&data);
        count += 1;
    }
    count
}

#[test]
fn committed_inputs_pass() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    for (name, run) in bodies::targets() {
        let inputs = replay(&root.join("corpus").join(name), run);
        assert!(inputs >= 10, "only {inputs} inputs in the corpus of {name}");
        replay(&root.join("regression").join(name), run);
    }
}

/// Whether a target of that name is in this build, or in one that has everything.
fn known(name: &std::ffi::OsStr) -> bool {
    bodies::targets().any(|(target, _)| name == target) || bodies::SWITCHED.iter().any(|target| name == *target)
}

#[test]
fn every_folder_has_its_target() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    for folder in ["corpus", "regression"] {
        for entry in fs::read_dir(root.join(folder)).expect("the folders are committed") {
            let name = entry.expect("a readable folder").file_name();
            assert!(known(&name), "{folder}/{name:?} has no target");
        }
    }
}
