//! The head of a request to the proxy: CONNECT, or a plain fetch of an `http://` address. Pure, total and bounded.

/// Longest head.
const MOST_HEAD: usize = 16 * 1024;
const MOST_HEADERS: usize = 100;
/// Of one connection, or only between client and proxy; never passed on.
const NOT_PASSED_ON: [&str; 9] = [
    "host",
    "connection",
    "proxy-connection",
    "proxy-authorization",
    "proxy-authenticate",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
];

/// What a sandboxed program asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ask {
    Tunnel {
        host: String,
        port: u16,
    },
    /// `head` is what goes to the host, `body` how many bytes follow it.
    Fetch {
        host: String,
        port: u16,
        head: Vec<u8>,
        body: u64,
    },
}

impl Ask {
    pub(super) fn target(&self) -> (&str, u16) {
        match self {
            Self::Tunnel { host, port } | Self::Fetch { host, port, .. } => (host, *port),
        }
    }
}

/// Why a request is not carried out, as its sender is told.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    status: u16,
    reason: String,
}

impl Refusal {
    pub(super) fn new(status: u16, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into() }
    }

    pub(super) fn reason(&self) -> &str {
        &self.reason
    }

    pub(super) fn response(&self) -> String {
        let words = match self.status {
            403 => "Forbidden",
            408 => "Request Timeout",
            411 => "Length Required",
            431 => "Request Header Fields Too Large",
            502 => "Bad Gateway",
            504 => "Gateway Timeout",
            _ => "Bad Request",
        };
        let text: String = self.reason.chars().filter(|c| !c.is_control()).take(500).collect();
        format!(
            "HTTP/1.1 {} {words}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{text}\n",
            self.status,
            text.len() + 1
        )
    }
}

/// The request at the front of `bytes` with the length of its head; `None` as long as that is not complete.
pub(super) fn read(bytes: &[u8]) -> Result<Option<(Ask, usize)>, Refusal> {
    let bad = |reason: &str| Refusal::new(400, format!("this is a proxy for HTTP and CONNECT: {reason}"));
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let length = match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) if length <= MOST_HEAD => length,
        Ok(httparse::Status::Partial) if bytes.len() < MOST_HEAD => return Ok(None),
        Ok(_) | Err(httparse::Error::TooManyHeaders) => {
            return Err(Refusal::new(431, "the head of the request is too long"));
        }
        Err(error) => return Err(bad(&error.to_string())),
    };
    let (method, path) = (request.method.unwrap_or_default(), request.path.unwrap_or_default());
    if method == "CONNECT" {
        let (host, port) = authority(path, None).ok_or_else(|| bad("CONNECT wants host:port"))?;
        return Ok(Some((Ask::Tunnel { host, port }, length)));
    }
    let scheme = path.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("http://"));
    let rest = path.get(7..).filter(|_| scheme).ok_or_else(|| bad("the address must begin with http://"))?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (place, path) = rest.split_at(end);
    let (host, port) = authority(place, Some(80)).ok_or_else(|| bad("the address names no host"))?;
    let body = body_length(request.headers)?;
    let mut head = Vec::with_capacity(length + 64);
    let slash = if path.starts_with('/') { "" } else { "/" };
    head.extend(format!("{method} {slash}{path} HTTP/1.1\r\nHost: {place}\r\nConnection: close\r\n").bytes());
    // What `Connection` names is of this connection only.
    let named: Vec<&str> =
        values(request.headers, "connection").flat_map(|value| value.split(',')).map(str::trim).collect();
    for header in request.headers.iter() {
        let own = NOT_PASSED_ON.iter().chain(&named).any(|name| header.name.eq_ignore_ascii_case(name));
        if !own {
            head.extend(header.name.bytes().chain(*b": "));
            head.extend(header.value.iter().copied().chain(*b"\r\n"));
        }
    }
    head.extend(b"\r\n");
    Ok(Some((Ask::Fetch { host, port, head, body }, length)))
}

fn values<'a>(headers: &'a [httparse::Header<'a>], name: &'a str) -> impl Iterator<Item = &'a str> {
    headers
        .iter()
        .filter(move |header| header.name.eq_ignore_ascii_case(name))
        .map(|header| std::str::from_utf8(header.value).unwrap_or("\u{fffd}"))
}

/// Anything that two readers could understand differently is refused.
fn body_length(headers: &[httparse::Header<'_>]) -> Result<u64, Refusal> {
    if values(headers, "transfer-encoding").next().is_some() {
        return Err(Refusal::new(411, "send bodies with Content-Length, or use https"));
    }
    let mut lengths = values(headers, "content-length");
    let Some(length) = lengths.next() else { return Ok(0) };
    let digits = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    let length = length.parse().ok().filter(|_| digits && lengths.next().is_none());
    length.ok_or_else(|| Refusal::new(400, "Content-Length is not one number"))
}

/// Host and port, brackets taken off; without users.
fn authority(text: &str, usual: Option<u16>) -> Option<(String, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(inner) => {
            let (host, rest) = inner.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let name = host.len() <= 254
        && !host.is_empty()
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte));
    let port = match port {
        Some(port) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => {
            port.parse().ok().filter(|port| *port != 0)?
        }
        Some(_) => return None,
        None => usual?,
    };
    name.then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fetched(text: &str) -> (String, u16, String, u64) {
        match read(text.as_bytes()) {
            Ok(Some((Ask::Fetch { host, port, head, body }, length))) => {
                assert_eq!(length, text.len());
                (host, port, String::from_utf8(head).unwrap(), body)
            }
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn a_fetch_names_its_host_itself() {
        let asked = "GET http://Example.org:8080/a?b HTTP/1.1\r\nHost: evil.net\r\nProxy-Authorization: x\r\n\
                     Connection: X-Own\r\nX-Own: 1\r\nAccept: */*\r\n\r\n";
        let (host, port, head, body) = fetched(asked);
        assert_eq!((host.as_str(), port, body), ("Example.org", 8080, 0));
        assert_eq!(
            head,
            "GET /a?b HTTP/1.1\r\nHost: Example.org:8080\r\nConnection: close\r\nAccept: */*\r\n\r\n"
        );
        assert_eq!(fetched("POST http://x.org HTTP/1.1\r\nContent-Length: 5\r\n\r\n").3, 5);
        assert!(fetched("GET http://x.org?q HTTP/1.1\r\n\r\n").2.starts_with("GET /?q HTTP/1.1\r\n"));
    }

    #[test]
    fn tunnels_name_host_and_port() {
        let tunnel = |text: &str| match read(format!("CONNECT {text} HTTP/1.1\r\n\r\n").as_bytes()) {
            Ok(Some((Ask::Tunnel { host, port }, _))) => Some((host, port)),
            _ => None,
        };
        assert_eq!(tunnel("example.org:443"), Some(("example.org".to_owned(), 443)));
        assert_eq!(tunnel("[fd00::5]:443"), Some(("fd00::5".to_owned(), 443)));
        for text in
            ["example.org", "u@x.org:1", "x.org:0", "x.org:99999", "fd00::5:443", "[x]:1", ":443", "x.org:+1"]
        {
            assert_eq!(tunnel(text), None, "{text}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for head in [
            "GET / HTTP/1.1\r\nHost: x.org\r\n\r\n",
            "GET https://x.org/ HTTP/1.1\r\n\r\n",
            "GET http://u:p@x.org/ HTTP/1.1\r\n\r\n",
            "POST http://x.org/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST http://x.org/ HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            "POST http://x.org/ HTTP/1.1\r\nContent-Length: +5\r\n\r\n",
            "nonsense\r\n\r\n",
        ] {
            assert!(read(head.as_bytes()).is_err(), "{head}");
        }
        assert_eq!(read(b"GET http://x.org/ HTTP/1.1\r\nA: b\r\n"), Ok(None), "more is to come");
        assert!(read(&[b'a'; MOST_HEAD]).is_err(), "but not for ever");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            if let Ok(Some((_, length))) = read(&bytes) {
                prop_assert!(length <= bytes.len());
            }
        }
    }
}
