//! What is asked of the kernel when nobody says otherwise.

use millrun_selector::ListenOptions;

#[test]
fn a_hundred_may_wait_and_addresses_are_reused() {
    let ListenOptions { backlog, reuse_address, reuse_port, keep_alive, .. } =
        ListenOptions::default();
    assert_eq!(backlog, 100);
    assert!(reuse_address && !reuse_port && !keep_alive);
}
