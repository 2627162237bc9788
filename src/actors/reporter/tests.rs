//! The reporter against the model of GitHub.
