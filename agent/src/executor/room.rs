//! Room on the disk: what the agent needs to go on is kept from tasks that fill it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nexusmon_shared::lifecycle::Lifecycle;
use tokio::sync::watch;

const PACE: Duration = Duration::from_millis(500);
const MOST: u64 = 512 * 1024 * 1024;

/// Whether there is room, looked at twice a second.
pub(super) struct Room {
    low: watch::Receiver<bool>,
    reserve: u64,
}

impl Room {
    pub(super) fn watch(folder: &Path, reserve: Option<u64>, lifecycle: &Lifecycle) -> Self {
        let whole =
            rustix::fs::statvfs(folder).map_or(0, |found| found.f_blocks.saturating_mul(found.f_frsize));
        let reserve = reserve.unwrap_or((whole / 20).min(MOST));
        let (sender, low) = watch::channel(false);
        lifecycle.spawn_quiet("executor.room", look(folder.to_owned(), reserve, sender, lifecycle.soft()));
        Self { low, reserve }
    }

    /// Returns when the disk is short of room and this workspace is among the reasons.
    pub(super) fn crowded_by(&self, folder: &Path) -> impl Future<Output = ()> + use<> {
        let (mut low, share, folder) = (self.low.clone(), self.reserve / 4, folder.to_owned());
        async move {
            loop {
                if low.wait_for(|low| *low).await.is_err() {
                    return std::future::pending().await;
                }
                let looked = folder.clone();
                let size = tokio::task::spawn_blocking(move || size(&looked, share)).await.unwrap_or(0);
                if size >= share {
                    tracing::warn!(folder = %folder.display(), "the disk is nearly full; ending a task that fills it");
                    return;
                }
                tokio::time::sleep(PACE).await;
            }
        }
    }
}

async fn look(
    folder: PathBuf,
    reserve: u64,
    sender: watch::Sender<bool>,
    end: tokio_util::sync::CancellationToken,
) -> std::io::Result<()> {
    let mut pace = tokio::time::interval(PACE);
    loop {
        tokio::select! {
            () = end.cancelled() => return Ok(()),
            _ = pace.tick() => {}
        }
        if sender.receiver_count() == 0 {
            return Ok(());
        }
        let free = rustix::fs::statvfs(&folder).map(|found| found.f_bavail.saturating_mul(found.f_frsize));
        let is_low = free.is_ok_and(|free| free < reserve);
        sender.send_if_modified(|low| std::mem::replace(low, is_low) != is_low);
    }
}

/// Bytes below a folder, counted no further than `enough`.
fn size(folder: &Path, enough: u64) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let mut sum = 0;
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(found) = entry.metadata() else { continue };
        sum += if found.is_dir() { size(&entry.path(), enough) } else { found.blocks() * 512 };
        if sum >= enough {
            break;
        }
    }
    sum
}
