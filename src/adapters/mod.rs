//! The world outside: each library that speaks to it is imported here and nowhere else.

pub mod docker;
pub mod git;
#[cfg_attr(
    not(test),
    expect(
        dead_code,
        unused_imports,
        reason = "the status reporter and the care for webhooks come next"
    )
)]
pub mod github;
