//! What the service and the runner say to each other. The program itself is `main.rs`.

pub mod protocol;
