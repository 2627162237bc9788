//! The machine's two clocks: the wall's, which people and NTP set, and the time since the machine's
//! start, which nobody does.

use std::fs;
use std::io;

use rustix::time::{ClockId, clock_gettime};

use super::Service;
use crate::domain::time::Timestamp;
use crate::store::StoreError;

/// Which start of the machine this is. Source: random(4).
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

impl Service {
    /// Says when the wall clock was set, also while the service was away, and corrects what was
    /// written of things that have not ended yet. Changes in how fast it runs are none: they concern
    /// both clocks.
    pub async fn look_at_the_clock(&self) {
        let (boot, offset) = match offset() {
            Ok(clocks) => clocks,
            Err(error) => {
                return tracing::debug!(%error, "cannot tell which start of the machine this is");
            }
        };
        match self.store.clock_is_ahead(boot, offset).await {
            Ok(None) => {}
            Ok(Some(jump)) => {
                let direction = if jump > 0 { "forward" } else { "back" };
                let seconds = jump.unsigned_abs() as f64 / 1000.0;
                tracing::warn!(seconds, "the machine's clock was set {direction}");
            }
            // It is looked again, and said by the database itself.
            Err(StoreError::NoRoom(_)) => {}
            Err(error) => tracing::warn!(%error, "cannot note how the machine's clock is set"),
        }
    }
}

/// Milliseconds by which the wall clock is ahead of the time since this start of the machine.
fn offset() -> io::Result<(String, i64)> {
    let boot = fs::read_to_string(BOOT_ID)?.trim().to_owned();
    let since = clock_gettime(ClockId::Boottime);
    let since = since.tv_sec * 1_000 + since.tv_nsec / 1_000_000;
    Ok((boot, Timestamp::now().as_millis() - since))
}
