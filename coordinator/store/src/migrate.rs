//! Migrations: numbered texts built into the program, applied in order, each in a transaction, recorded with a digest.

use nexusmon_shared::digest::Digest;

use crate::connection::Connection;
use crate::dialect::{migration_for_postgres, migration_for_sqlite, sql};
use crate::error::StoreError;
use crate::record::{args, record};

struct Migration {
    version: i64,
    name: &'static str,
    text: &'static str,
}

macro_rules! migrations {
    ($($version:literal $name:literal,)*) => {
        &[$(Migration {
            version: $version,
            name: $name,
            text: include_str!(concat!("../../../migrations/", $name, ".sql")),
        },)*]
    };
}

/// Append-only: what was released is never changed, only followed.
const MIGRATIONS: &[Migration] = migrations![
    1 "0001_organism",
    2 "0002_fleet",
    3 "0003_missions",
    4 "0004_vault",
    5 "0005_governance",
    6 "0006_evolution",
    7 "0007_search",
    8 "0008_nodes",
    9 "0009_judging",
    10 "0010_halt",
    11 "0011_rates",
    12 "0012_policies",
    13 "0013_audit_tree",
    14 "0014_consent",
    15 "0015_standing",
    16 "0016_secrets",
    17 "0017_people",
    18 "0018_enrollment",
    19 "0019_desk",
    20 "0020_triggers",
    21 "0021_plannings",
    22 "0022_mind",
    23 "0023_chains",
    24 "0024_notifications",
    25 "0025_trait_uses",
    26 "0026_sub_missions",
    27 "0027_spawned",
    28 "0028_audit_openings",
    29 "0029_model_calls",
    30 "0030_behind",
    31 "0031_durations",
    32 "0032_open_uses",
];

record! {
    struct Applied {
        pub version: i64,
        pub digest: Digest,
    }
}

/// PostgreSQL: one node migrates, others wait. Any number serves.
const LOCK: i64 = 0x6e65_7875;

/// The newest migration this program knows.
pub(crate) fn newest() -> i64 {
    MIGRATIONS.last().map_or(0, |migration| migration.version)
}

/// Brings the database to the newest migration, or refuses.
pub(crate) async fn run(connection: &mut Connection) -> Result<(), StoreError> {
    if connection.is_postgres() {
        connection.execute(sql!("SELECT pg_advisory_lock($1)"), args![LOCK]).await?;
    }
    let done = apply(connection, MIGRATIONS).await;
    if connection.is_postgres() {
        connection.execute(sql!("SELECT pg_advisory_unlock($1)"), args![LOCK]).await?;
    }
    done
}

async fn apply(connection: &mut Connection, known: &[Migration]) -> Result<(), StoreError> {
    connection
        .script(
            "CREATE TABLE IF NOT EXISTS migrations (version BIGINT PRIMARY KEY, name TEXT NOT NULL, \
             digest TEXT NOT NULL)",
        )
        .await?;
    let applied: Vec<Applied> =
        connection.fetch(sql!("SELECT version, digest FROM migrations ORDER BY version"), args![]).await?;
    let newest = known.last().map_or(0, |migration| migration.version);
    if let Some(newer) = applied.iter().find(|found| found.version > newest) {
        let database = applied.last().map_or(newer.version, |last| last.version);
        return Err(StoreError::Newer { database, binary: newest });
    }
    for migration in known {
        let digest = Digest::of(migration.text.as_bytes());
        match applied.iter().find(|found| found.version == migration.version) {
            Some(found) if found.digest == digest => {}
            Some(_) => {
                return Err(StoreError::Altered {
                    version: migration.version,
                    name: migration.name.to_owned(),
                });
            }
            None => apply_one(connection, migration, digest).await?,
        }
    }
    Ok(())
}

async fn apply_one(
    connection: &mut Connection,
    migration: &Migration,
    digest: Digest,
) -> Result<(), StoreError> {
    let text = if connection.is_postgres() {
        migration_for_postgres(migration.text)
    } else {
        migration_for_sqlite(migration.text)
    };
    // Both databases roll schema changes back with the transaction.
    let script = format!(
        "BEGIN;\n{text}\nINSERT INTO migrations (version, name, digest) VALUES ({}, '{}', '{digest}');\nCOMMIT;",
        migration.version, migration.name
    );
    if let Err(error) = connection.script(&script).await {
        connection.mend();
        let _ = connection.script("ROLLBACK").await;
        connection.mend();
        return Err(error);
    }
    tracing::info!(version = migration.version, name = migration.name, "migration applied");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::MIGRATIONS;

    #[test]
    fn every_file_is_built_in_and_numbered_in_order() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
            .filter_map(|name| name.strip_suffix(".sql").map(str::to_owned))
            .collect();
        files.sort();
        let known: Vec<_> = MIGRATIONS.iter().map(|migration| migration.name.to_owned()).collect();
        assert_eq!(files, known);
        assert!(MIGRATIONS.is_sorted_by_key(|migration| migration.version));
        for migration in MIGRATIONS {
            assert!(migration.name.starts_with(&format!("{:04}_", migration.version)));
        }
    }
}
