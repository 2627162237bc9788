//! What the service is, and how full.

use serde_json::json;

use super::*;
use crate::service::{Disk, Folder};

#[tokio::test]
async fn places_and_disks_are_told() {
    let fixture = Fixture::new();
    fixture.configure(|config| config.builds.concurrency = 3);
    let first = fixture.push('a').await;
    fixture.advance(&first[0], &[State::Preparing]).await;
    fixture.advance(&first[1], &[State::Cancelled]).await;
    fixture.push('b').await;
    fixture.web.service.disk.send_replace(Disk {
        folders: vec![Folder {
            name: "docker",
            path: "/var/lib/docker".into(),
            free: 5,
            total: 12,
        }],
        full: None,
    });
    let response = fixture.get("/api/v1/service").await;
    assert_eq!(
        json(&response),
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "instance": fixture.store().instance(),
            "places": {"total": 3, "running": 1, "waiting": 2},
            "disk": [{"name": "docker", "path": "/var/lib/docker", "free": 5, "total": 12}],
        })
    );
}
