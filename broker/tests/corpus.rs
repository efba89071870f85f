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
fn every_saved_configuration_means_the_same_or_has_a_place_for_its_mistake() {
    run("config", checks::config);
}

#[test]
fn every_saved_path_names_what_clients_may_have_or_is_refused() {
    run("path", checks::path);
}

#[test]
fn every_saved_head_lets_in_nobody_unknown() {
    run("head", checks::head);
}

#[test]
fn every_saved_word_of_a_proxy_is_its_own_alone() {
    run("proxied", checks::proxied);
}

#[test]
fn every_saved_token_lets_in_whom_it_names_or_nobody() {
    run("token", checks::token);
}

#[test]
fn no_saved_file_of_keys_serves_as_a_secret() {
    run("keys", checks::keys);
}

#[test]
fn every_saved_request_ends_where_it_ends_on_the_lean_path() {
    run("lean", checks::lean);
}

#[test]
fn every_saved_connection_comes_to_its_end() {
    run("wire", checks::wire);
}
