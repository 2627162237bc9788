//! The allocator, told that this process has many threads and little to allocate.

/// How many pools of memory all threads share. glibc's default is eight for each core, and what
/// is freed in one pool is of no use to the others: the blocks of a hundred logs that are read at
/// once, each by whatever thread is free, kept 68 MiB that way on two cores, and 33 MiB with two
/// pools. A build's log was as fast as before.
#[cfg(target_env = "gnu")]
const POOLS: std::ffi::c_int = 2;

/// To be called before other threads allocate anything.
#[cfg(target_env = "gnu")]
#[expect(
    unsafe_code,
    reason = "the allocator is told by a call of the C library, which neither std nor rustix has"
)]
pub fn share_between_threads() {
    use std::ffi::c_int;
    // From malloc.h.
    const M_ARENA_MAX: c_int = -8;
    // SAFETY: as malloc.h declares it. It takes and returns integers, and any are allowed.
    unsafe extern "C" {
        safe fn mallopt(parameter: c_int, value: c_int) -> c_int;
    }
    // It cannot fail for this parameter; if it did, there would be nothing to do about it.
    let _ = mallopt(M_ARENA_MAX, POOLS);
}

/// Other C libraries have no such pools.
#[cfg(not(target_env = "gnu"))]
pub fn share_between_threads() {}
