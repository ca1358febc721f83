//! Disks that are too small for a build: who has such a one says so, and goes on when there is room.

use super::{build, dockerfile};
use crate::disk::Mount;
use crate::docker::Docked;
use crate::harness::Cluster;

#[test]
fn a_disk_that_is_full_is_named_and_recovers() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("orchestrator");
    let Some(disk) = Mount::new(&data, 16) else { return };
    let cluster = Cluster::start_in(folder, 0);
    let to = cluster.head.http();
    let zip = dockerfile(&["FROM scratch"], &[("large", &"x".repeat(1 << 20))]);
    let fields = [("name", "f")];
    disk.fill();
    let said = build(to, "/build", &fields, &zip).problem(507, "store_failed");
    assert!(said.contains("No space left"), "{said}");
    disk.make_room();
    build(to, "/build", &fields, &zip).problem(503, "no_node");
}

#[test]
fn a_nodes_disk_that_is_full_is_named_and_another_node_builds() {
    let Some(mut site) = Docked::start_told(0, &[]) else { return };
    let small = site.cluster.dir.path().join("w1");
    let Some(_disk) = Mount::new(&small, 4) else { return };
    site.add_worker("w1");
    let to = site.cluster.head.http();
    let zip = dockerfile(&["FROM scratch", "COPY large /"], &[("large", &"x".repeat(6 << 20))]);
    let fields = [("name", "b-disk")];
    let said = build(to, "/build", &fields, &zip).problem(422, "build_failed");
    assert!(said.contains("w1") && said.contains("No space left"), "{said}");
    site.add_worker("w2");
    let built = super::built(&build(to, "/build", &fields, &zip));
    assert_eq!(built.node.as_deref(), Some("w2"));
    let _ = crate::docker::docker(&["rmi", "--force", built.image.as_deref().expect("an image")]);
}
