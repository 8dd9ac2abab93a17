//! The randomness of str0m, dimpl and sctp-proto, from a seed.
//!
//! They draw from the system through `getrandom` and from `fastrand`'s generator of the thread. Built
//! with `--cfg getrandom_backend="custom"`, the first asks the function here; so a world that runs in
//! a fresh thread, seeded before its first draw, sends the same bytes each time.

use std::cell::Cell;

thread_local! {
    static STATE: Cell<u64> = const { Cell::new(0) };
}

/// Runs `world` in a thread of its own, in which all randomness follows from the seed.
///
/// # Panics
/// If `world` does.
pub fn seeded<T: Send>(seed: u64, world: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            STATE.set(seed);
            fastrand::seed(seed);
            world()
        });
        match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// SplitMix64 (Steele, Lea and Flood, 2014): not secure, and it need not be.
fn draw() -> u64 {
    let state = STATE.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
    STATE.set(state);
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// What `getrandom` (0.3 and later) calls with its backend `custom`.
#[expect(unsafe_code, reason = "the interface that getrandom defines")]
#[unsafe(no_mangle)]
unsafe extern "Rust" fn __getrandom_v03_custom(
    dest: *mut u8,
    len: usize,
) -> Result<(), getrandom::Error> {
    for place in 0..len {
        // SAFETY: getrandom owns `len` bytes from `dest` on.
        unsafe { dest.add(place).write(draw() as u8) };
    }
    Ok(())
}
