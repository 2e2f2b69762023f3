//! Pages: embedded, strict, and without a word of data. They hold whether the console was built or stands as its
//! placeholder.

use std::collections::BTreeSet;

use anyhow::Result;

use crate::served::Served;

/// Names of assets a text refers to.
fn assets(text: &str) -> BTreeSet<String> {
    let marks = ["/assets/", "\"./", "'./", "`./"];
    let found = marks.iter().flat_map(|mark| text.split(mark).skip(1));
    let names = found.filter_map(|rest| rest.split(['"', '\'', '`', ')', '?']).next());
    names.filter(|name| name.contains('.') && !name.contains('/')).map(str::to_owned).collect()
}

fn is_script(name: &str) -> bool {
    name.rsplit('.').next() == Some("js")
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_load_only_their_own_files() -> Result<()> {
    let served = Served::start().await?;
    for path in ["/organism", "/organism/missions", "/landing", "/docs"] {
        let page = served.request("GET", path).header("host", "localhost").send().await?;
        assert_eq!(page.status(), 200, "{path}");
        assert_eq!(page.headers()["cache-control"], "no-cache", "{path}");
        let policy = page.headers()["content-security-policy"].to_str()?.to_owned();
        assert!(
            policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
        assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
        for directive in [
            "script-src 'self'",
            "style-src 'self'",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
        ] {
            assert!(policy.split("; ").any(|part| part == directive), "{policy}: {directive}");
        }
        // No name lets just anything through.
        let made_by = policy.split("; ").find(|part| part.starts_with("trusted-types "));
        assert!(made_by.is_some_and(|names| !names.contains("default")), "{policy}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(page.headers()[name], value, "{path}");
        }
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
async fn every_asset_a_page_can_reach_is_there_for_good() -> Result<()> {
    let served = Served::start().await?;
    let mut waiting = Vec::new();
    for path in ["/organism", "/landing", "/docs"] {
        let page = served.request("GET", path).header("host", "localhost").send().await?;
        waiting.extend(assets(&page.text().await?));
    }
    let mut seen = BTreeSet::new();
    while let Some(name) = waiting.pop() {
        if !seen.insert(name.clone()) {
            continue;
        }
        let file = served.request("GET", &format!("/assets/{name}")).send().await?;
        assert_eq!(file.status(), 200, "{name}");
        assert_eq!(file.headers()["cache-control"], "public, max-age=31536000, immutable", "{name}");
        if is_script(&name) {
            assert_eq!(file.headers()["content-type"], "text/javascript; charset=utf-8");
            let text = file.text().await?;
            for sink in ["insertAdjacentHTML", "document.write", "eval("] {
                assert!(!text.contains(sink), "{name} uses {sink}: text from outside must stay text");
            }
            waiting.extend(assets(&text).into_iter().filter(|name| is_script(name)));
            let packed =
                served.request("GET", &format!("/assets/{name}")).header("accept-encoding", "br").send();
            assert_eq!(packed.await?.headers()["content-encoding"], "br", "{name}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_console_moves_to_a_name_and_keeps_its_address() -> Result<()> {
    let served = Served::start().await?;
    for path in ["/organism", "/organism/missions?status=failed"] {
        let moved = served.request("GET", path).send().await?;
        assert_eq!(moved.status(), 307);
        let target = moved.headers()["location"].to_str()?;
        assert_eq!(target, format!("{}{path}", served.url.replace("127.0.0.1", "localhost")));
    }
    for missing in
        ["/assets/nothing.js", "/assets/..%2f..%2fCargo.toml", "/assets/organism.html", "/elsewhere/x"]
    {
        assert_eq!(served.request("GET", missing).send().await?.status(), 404, "{missing}");
    }
    Ok(())
}
