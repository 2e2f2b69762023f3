//! Pages: embedded, strict, and without a word of data.

use anyhow::Result;

use crate::served::Served;

#[tokio::test(flavor = "multi_thread")]
async fn pages_load_only_their_own_files() -> Result<()> {
    let served = Served::start().await?;
    for path in ["/organism", "/landing", "/docs"] {
        let page = served.request("GET", path).header("host", "localhost").send().await?;
        assert_eq!(page.status(), 200, "{path}");
        let policy = page.headers()["content-security-policy"].to_str()?.to_owned();
        assert!(
            policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
        assert!(!policy.contains("unsafe"), "{policy}");
        let text = page.text().await?;
        assert!(
            !text.contains("<style") && !text.contains(" style=") && !text.contains(" onclick="),
            "{path}"
        );
        for link in text.split("=\"/").skip(1).filter_map(|rest| rest.split('"').next()) {
            let status =
                served.request("GET", &format!("/{link}")).header("host", "localhost").send().await?.status();
            assert!(status.is_success() || status == 401, "{path} links to /{link}: {status}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_module_a_page_loads_is_there() -> Result<()> {
    let served = Served::start().await?;
    let mut waiting = vec!["main.js".to_owned(), "docs.js".to_owned()];
    let mut seen = Vec::new();
    while let Some(name) = waiting.pop() {
        if seen.contains(&name) {
            continue;
        }
        let file = served.request("GET", &format!("/assets/{name}")).send().await?;
        assert_eq!(file.status(), 200, "{name}");
        assert_eq!(file.headers()["content-type"], "text/javascript; charset=utf-8");
        let text = file.text().await?;
        for sink in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
            assert!(!text.contains(sink), "{name} uses {sink}: text from outside must stay text");
        }
        waiting.extend(
            text.split("from './").skip(1).filter_map(|rest| rest.split('\'').next()).map(str::to_owned),
        );
        seen.push(name);
    }
    assert!(seen.len() > 5, "{seen:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_console_moves_to_a_name() -> Result<()> {
    let served = Served::start().await?;
    let moved = served.request("GET", "/organism").send().await?;
    assert_eq!(moved.status(), 307);
    let target = moved.headers()["location"].to_str()?;
    assert_eq!(target, format!("{}/organism", served.url.replace("127.0.0.1", "localhost")));
    for missing in
        ["/assets/nothing.js", "/assets/..%2f..%2fCargo.toml", "/assets/organism.html", "/organism/x"]
    {
        assert_eq!(served.request("GET", missing).send().await?.status(), 404, "{missing}");
    }
    Ok(())
}
