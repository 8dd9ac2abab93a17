//! Inputs from files.

use std::fs;
use std::path::Path;

/// Gives every file of a directory to a target, in the order of their names; says how many there
/// were. A file that breaks a law is named before the panic goes on.
///
/// # Panics
/// If the target does, or a file cannot be read.
pub fn replay(directory: &Path, target: fn(&[u8])) -> usize {
    let Ok(entries) = fs::read_dir(directory) else {
        return 0;
    };
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|path| path.is_file());
    files.sort();
    for file in &files {
        run(file, target);
    }
    files.len()
}

/// The program of a target without a fuzzer: runs the files that are named.
pub fn run_arguments(target: fn(&[u8])) {
    for name in std::env::args_os().skip(1) {
        run(Path::new(&name), target);
        println!("{}: nothing broken", Path::new(&name).display());
    }
}

fn run(file: &Path, target: fn(&[u8])) {
    let named = Named(file);
    target(&fs::read(file).expect("an input can be read"));
    std::mem::forget(named);
}

/// Says which file it was when a panic passes.
struct Named<'a>(&'a Path);

impl Drop for Named<'_> {
    fn drop(&mut self) {
        eprintln!("the input was {}", self.0.display());
    }
}
