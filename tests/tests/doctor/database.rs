//! What the database holds and how its server is set up.

use std::path::Path;

use anyhow::Result;
use nexusmon_store::testing::PostgresDatabase;
use nexusmon_tests::binaries;
use nexusmon_tests::process::Process;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

use super::patient::Patient;

const MASTER_KEY: &str = "1111111111111111111111111111111111111111111111111111111111111111";
const ANOTHER_KEY: &str = "2222222222222222222222222222222222222222222222222222222222222222";

/// A coordinator that has run on this folder and ended.
async fn used(folder: &Path, database: Option<&str>) -> Result<()> {
    let mut environment = vec![("NEXUSMON_MASTER_KEY".to_owned(), MASTER_KEY.to_owned())];
    environment.extend(database.map(|url| ("NEXUSMON_DATABASE_URL".to_owned(), url.to_owned())));
    let data = folder.to_string_lossy();
    let arguments =
        ["serve", "--json", "--data-dir", &data, "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"];
    let mut process =
        Process::start("coordinator", &binaries::path("nexusmon"), arguments, &environment, folder)?;
    process.line().await?;
    assert!(process.terminate().await?.success());
    Ok(())
}

fn patient(folder: &Path) -> Patient {
    Patient::coordinator(folder).with(["--data-dir".as_ref(), folder.as_os_str()])
}

#[tokio::test]
async fn a_master_key_that_is_missing_or_another() -> Result<()> {
    let folder = tempfile::tempdir()?;
    used(folder.path(), None).await?;
    let patient = patient(folder.path());
    patient.clone().examine().await?.trouble("master key", "fail", "first start");
    let another = patient.clone().environment("NEXUSMON_MASTER_KEY", ANOTHER_KEY);
    another.examine().await?.trouble("master key", "fail", "is not the one this database was made with");
    let found = patient.environment("NEXUSMON_MASTER_KEY", MASTER_KEY).examine().await?;
    found.fine("master key");
    found.fine("database");
    found.fine("data folder");
    Ok(())
}

#[tokio::test]
async fn a_database_newer_than_the_program() -> Result<()> {
    let folder = tempfile::tempdir()?;
    used(folder.path(), None).await?;
    let options = SqliteConnectOptions::new().filename(folder.path().join("nexusmon.db"));
    let mut connection = SqliteConnection::connect_with(&options).await?;
    connection.execute("INSERT INTO migrations (version, name, digest) VALUES (9999, 'later', '')").await?;
    connection.close().await?;
    patient(folder.path()).examine().await?.trouble("database", "fail", "migration 9999");
    Ok(())
}

#[tokio::test]
async fn a_database_that_does_not_answer() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let url = format!("postgres://nexusmon:secret@{}/nexusmon", super::patient::nowhere());
    let found = patient(folder.path()).environment("NEXUSMON_DATABASE_URL", &url).examine().await?;
    found.trouble("database", "fail", "opening the database");
    assert!(!found.check("database").to_string().contains("secret"), "the password is not shown");
    Ok(())
}

#[tokio::test]
async fn a_postgresql_server_that_forgets_and_is_shared_wrongly() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let database = PostgresDatabase::create().await?;
    used(folder.path(), Some(database.url())).await?;
    let mut connection = PgConnection::connect(database.url()).await?;
    let name: String =
        sqlx::query_scalar("SELECT current_database()::text").fetch_one(&mut connection).await?;
    connection.execute(AssertSqlSafe(format!("ALTER DATABASE {name} SET synchronous_commit = off"))).await?;
    let autovacuum: String =
        sqlx::query_scalar("SELECT current_setting('autovacuum')").fetch_one(&mut connection).await?;
    // Two coordinators are connected, whose blobs would be folders.
    let node = |name: &str| anyhow::Ok(database.url().parse::<PgConnectOptions>()?.application_name(name));
    let one = PgConnection::connect_with(&node("nexusmon one")?).await?;
    let two = PgConnection::connect_with(&node("nexusmon two")?).await?;

    let patient = patient(folder.path())
        .environment("NEXUSMON_DATABASE_URL", database.url())
        .environment("NEXUSMON_MASTER_KEY", MASTER_KEY);
    let found = patient.examine().await?;
    found.trouble("durability", "fail", "synchronous_commit = off");
    if autovacuum == "off" {
        found.trouble("autovacuum", "fail", "autovacuum = off");
    } else {
        found.fine("autovacuum");
    }
    found.trouble("several coordinators", "fail", "folder of this machine");
    found.fine("database");
    found.fine("master key");
    found.fine("database clock");
    for connection in [one, two, connection] {
        connection.close().await?;
    }
    Ok(())
}
