//! A network namespace of its own for agents, joined to this one by a pair of virtual cards: packets are really lost there.
//!
//! Needs root and a kernel that allows it; where it cannot be made, the reason is told and the case goes through the
//! proxy instead. Everything is taken down with it.

use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// See the module.
#[derive(Debug)]
pub(super) struct Namespace {
    name: String,
    outside: String,
    inside: String,
    /// Third byte of both addresses.
    net: u8,
}

impl Namespace {
    /// Makes one, or says why that is not possible here.
    pub(super) fn make(number: u8) -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("only root may make network namespaces".to_owned());
        }
        let process = std::process::id() % 10_000;
        let namespace = Self {
            name: format!("nexusmon-{process}-{number}"),
            outside: format!("nx{process}o{number}"),
            inside: format!("nx{process}i{number}"),
            net: number,
        };
        let built = namespace.build();
        built.map_err(|error| format!("{error:#}"))?;
        Ok(namespace)
    }

    fn build(&self) -> Result<()> {
        let Self { name, outside, inside, .. } = self;
        ip(&["netns", "add", name])?;
        ip(&["link", "add", outside, "type", "veth", "peer", "name", inside, "netns", name])?;
        ip(&["addr", "add", &format!("{}/30", self.host()), "dev", outside])?;
        ip(&["link", "set", outside, "up"])?;
        ip(&["-n", name, "addr", "add", &format!("{}/30", self.guest()), "dev", inside])?;
        ip(&["-n", name, "link", "set", "lo", "up"])?;
        ip(&["-n", name, "link", "set", inside, "up"])
    }

    /// This side's address.
    pub(super) fn host(&self) -> String {
        format!("10.213.{}.1", self.net)
    }

    fn guest(&self) -> String {
        format!("10.213.{}.2", self.net)
    }

    /// What a program is started with to live in there.
    pub(super) fn wrapper(&self) -> Vec<String> {
        ["ip", "netns", "exec", &self.name].map(str::to_owned).to_vec()
    }

    /// No packet goes either way.
    pub(super) fn cut(&self) -> Result<()> {
        ip(&["-n", &self.name, "link", "set", &self.inside, "down"])
    }

    /// Nothing gets out; what comes in still does.
    pub(super) fn cut_outward(&self) -> Result<()> {
        ip(&["-n", &self.name, "route", "replace", "blackhole", &format!("{}/32", self.host())])
    }

    /// So narrow that packets are dropped.
    pub(super) fn narrow(&self) -> Result<()> {
        let limit = ["tbf", "rate", "96kbit", "burst", "2kb", "limit", "3kb"];
        let mut words =
            vec!["netns", "exec", &self.name, "tc", "qdisc", "replace", "dev", &self.inside, "root"];
        words.extend(limit);
        ip(&words)
    }

    /// As if nothing had been.
    pub(super) fn heal(&self) -> Result<()> {
        let _ = ip(&["-n", &self.name, "route", "del", "blackhole", &format!("{}/32", self.host())]);
        let _ = ip(&["netns", "exec", &self.name, "tc", "qdisc", "del", "dev", &self.inside, "root"]);
        ip(&["-n", &self.name, "link", "set", &self.inside, "up"])
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Processes in there are gone by now; the pair of cards goes with the namespace.
        let _ = ip(&["netns", "del", &self.name]);
        let _ = ip(&["link", "del", &self.outside]);
    }
}

fn ip(words: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(words).output().context("starting `ip`")?;
    if !output.status.success() {
        bail!("`ip {}`: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
