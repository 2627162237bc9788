//! What a panic that was caught has to say.

use std::any::Any;

/// One line for people.
pub fn in_words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("an error of this program: {}", text.unwrap_or("a panic"))
}
