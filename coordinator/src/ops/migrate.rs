//! Moving to another database (and, where asked, the bytes to another store): copied, then compared.

use nexusmon_shared::time::SharedClock;
use nexusmon_store::{Archive, TableDigest};

use super::error::OpsError;
use super::{Tell, bytes};
use crate::blobs::{Blobs, BlobsConfig};

/// What was moved.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Migration {
    pub tables: Vec<TableDigest>,
    /// `None`: the bytes stay where they are.
    pub bytes: Option<MovedBytes>,
}

#[derive(Debug, Clone, Copy, serde::Serialize)]
pub struct MovedBytes {
    pub blobs: u64,
    pub segments: u64,
    pub bytes: u64,
}

/// `blobs` are where the bytes are now and where they shall be, if they move too.
pub async fn migrate(
    from: &str,
    to: &str,
    blobs: Option<(&BlobsConfig, &BlobsConfig)>,
    clock: SharedClock,
    tell: Tell<'_>,
) -> Result<Migration, OpsError> {
    super::restore::exists(from)?;
    let opened = match blobs {
        Some((old, new)) => Some((Blobs::open(old).await?, Blobs::open(new).await?)),
        None => None,
    };
    let mut source = Archive::open_alone(from, clock.clone()).await?;
    if source.organism().await?.is_none() {
        return Err(OpsError::Refused("the source database is empty: there is nothing to move".to_owned()));
    }
    let mut target = Archive::open_alone(to, clock).await?;
    if !target.is_empty().await? {
        return Err(OpsError::Refused(
            "the target database is not empty: make a new one, nothing was changed".to_owned(),
        ));
    }
    let read = source
        .copy_into(&mut target, |progress| tell(&format!("{}: {} rows", progress.table, progress.rows)))
        .await?;
    tell("comparing every table");
    let written = target.digests().await?;
    compare(&read, &written)?;
    let bytes = match &opened {
        Some((old, new)) => {
            tell("copying blobs and logs");
            let copied = bytes::copy(&mut source, old, new, None, false, tell).await?;
            Some(MovedBytes { blobs: copied.blobs, segments: copied.segments, bytes: copied.bytes })
        }
        None => None,
    };
    source.close().await?;
    target.close().await?;
    Ok(Migration { tables: read, bytes })
}

/// Names the first table that is not what it should be.
pub(super) fn compare(expected: &[TableDigest], found: &[TableDigest]) -> Result<(), OpsError> {
    for table in expected {
        if !found.contains(table) {
            return Err(OpsError::Differs(format!(
                "the table {} is not what was read ({} rows): do not use the target; drop it and try again",
                table.table, table.rows
            )));
        }
    }
    Ok(())
}
