//! Runs what the fuzz targets run over the saved corpus, without a fuzzer.

#[path = "../fuzz/checks.rs"]
mod checks;

use std::fs;
use std::path::Path;

fn run(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files = 0;
    for entry in fs::read_dir(folder).expect("a corpus") {
        let path = entry.expect("an entry").path();
        // Shown by the test runner if the check panics.
        println!("{}", path.display());
        check(&fs::read(path).expect("a file"));
        files += 1;
    }
    assert!(files >= 20, "the corpus of {target} is missing");
}

#[test]
fn every_saved_body_keeps_the_promises() {
    run("body", checks::body);
}

#[test]
fn every_saved_form_means_what_its_json_means() {
    run("form", checks::form);
}

#[test]
fn every_saved_channel_agrees_with_the_grammar() {
    run("channel", checks::channel);
}

#[test]
fn every_saved_callback_stays_in_its_script() {
    run("callback", checks::callback);
}

#[test]
fn every_saved_publication_means_what_it_meant() {
    run("publication", checks::publication);
}

#[test]
fn every_saved_cursor_is_written_as_it_was_meant() {
    run("cursor", checks::cursor);
}
