//! Beginning anew, by the machine's own admin: the one thing that no coordinator can ask for.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use nexusmon_shared::time::Timestamp;
use nexusmon_shared::trust::key::KeyId;
use serde_json::json;

use super::{FileError, Kept, read, write};

/// Lines of JSON, only ever appended to.
const LOG: &str = "audit.log";

/// Forgets the roster, and believes `owner_key` from now on; without one A and S are refused. Written down beside it.
pub fn reset(data_dir: &Path, owner_key: Option<KeyId>, now: Timestamp) -> Result<(), FileError> {
    // A file that cannot be read is a reason to begin anew, not one to stop.
    let before = read(data_dir).ok().flatten().unwrap_or_default();
    let entry = json!({
        "at": now,
        "action": "roster.reset",
        "user": rustix::process::getuid().as_raw(),
        "sudo_user": std::env::var("SUDO_USER").ok(),
        "owner_key_before": before.owner_key,
        "roster_before": before.roster.map(|signed| signed.roster.number),
        "owner_key": owner_key,
    });
    let path = data_dir.join(LOG);
    let log = || {
        let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?;
        writeln!(file, "{entry}")?;
        file.sync_all()
    };
    // First the entry: nothing changes unseen.
    log().map_err(|error| FileError::io("write", &path, error))?;
    write(data_dir, &Kept { owner_key, ..Kept::default() })
}
