//! One message to a mail server (RFC 5321), with TLS (RFC 8314, RFC 3207) and a log-in (RFC 4616) where that is wanted.
//!
//! The server's words are outside bytes: replies are bounded in lines and bytes, and only their codes are looked at. What is
//! said to it holds nothing that anybody could break a line with.
//!
//! Not `lettre`: it reads replies without a bound, gives up where one of several recipients is refused, and brings a second
//! `nom`.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nexusmon_shared::network::Network;
use nexusmon_shared::time::Timestamp;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use super::{INSIDE, Mail, Message, Security, Sent, Wrong};
use crate::push::open;

/// Bytes of a line of a reply; the standard allows 512.
const LONGEST_LINE: u64 = 2048;
/// Lines of a reply.
const MOST_LINES: usize = 100;
/// Addresses of a name that are tried.
const MOST_ADDRESSES: usize = 4;
/// People one message goes to.
pub(super) const MOST_PEOPLE: usize = 20;

trait Line: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Line for T {}

/// Why it went no further.
struct Stopped(Sent);

fn later(why: &str) -> Stopped {
    Stopped(Sent::Later(None, why.to_owned()))
}

fn refused(why: impl Into<String>) -> Stopped {
    Stopped(Sent::Refused(why.into()))
}

/// Whether it can be sent to, as far as it says by itself.
pub(super) fn check(mail: &Mail, inside: &[Network]) -> Result<(), Wrong> {
    let wrong = |pointer, why: &str| Err(Wrong { pointer, why: why.to_owned() });
    let named = !mail.host.is_empty()
        && mail.host.len() <= 253
        && mail.host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':'));
    if !named || ServerName::try_from(mail.host.as_str()).is_err() {
        return wrong("/server/host", "is no host name such as mail.example.org");
    }
    if mail.port == 0 {
        return wrong("/server/port", "must be from 1 to 65535");
    }
    if mail.host.parse::<IpAddr>().is_ok_and(|address| !open(address, inside)) {
        return wrong("/server/host", INSIDE);
    }
    if mail.security == Security::None && inside.is_empty() {
        return wrong(
            "/server/security",
            "must be tls or starttls: only networks of NEXUSMON_NOTIFY_INSIDE are spoken to in the clear",
        );
    }
    if mail.username.is_some() != mail.password.is_some() {
        return wrong("/server/password", "belongs to a `username`: give both or neither");
    }
    if !is_mailbox(&mail.from) {
        return wrong("/from", "is no mail address such as nexusmon@example.org");
    }
    if mail.to.is_empty() || mail.to.len() > MOST_PEOPLE || !mail.to.iter().all(|to| is_mailbox(to)) {
        return wrong("/to", "must be 1 to 20 mail addresses such as you@example.org");
    }
    Ok(())
}

fn is_mailbox(text: &str) -> bool {
    let plain = text.len() <= 254
        && text.chars().all(|c| {
            c.is_ascii_graphic() && !matches!(c, '<' | '>' | '"' | '\\' | '(' | ')' | ',' | ';' | ':')
        });
    plain
        && text
            .rsplit_once('@')
            .is_some_and(|(name, host)| !name.is_empty() && !host.is_empty() && !name.contains('@'))
}

/// `handed`: what it comes to from the moment on at which the server has all of the message.
pub(super) async fn send(
    mail: &Mail,
    inside: &[Network],
    message: &Message,
    now: Timestamp,
    handed: &OnceLock<Sent>,
) -> Sent {
    match talk(mail, inside, message, now, handed).await {
        Ok(sent) | Err(Stopped(sent)) => sent,
    }
}

async fn talk(
    mail: &Mail,
    inside: &[Network],
    message: &Message,
    now: Timestamp,
    handed: &OnceLock<Sent>,
) -> Result<Sent, Stopped> {
    let tcp = connect(mail, inside).await?;
    let mut line: BufReader<Box<dyn Line>> = match mail.security {
        Security::Tls => BufReader::new(Box::new(wrap(mail, tcp).await?)),
        Security::Starttls | Security::None => BufReader::new(Box::new(tcp)),
    };
    expect(&mut line, "the greeting", &[220]).await?;
    let mut offers = hello(&mut line).await?;
    if mail.security == Security::Starttls {
        if !offers.iter().any(|offer| offer.eq_ignore_ascii_case("STARTTLS")) {
            return Err(refused("the mail server offers no STARTTLS"));
        }
        command(&mut line, "STARTTLS", "STARTTLS", &[220]).await?;
        // What came in the clear must not be taken for what came sealed.
        if !line.buffer().is_empty() {
            return Err(refused("the mail server said more in the clear than it was asked"));
        }
        line = BufReader::new(Box::new(wrap(mail, line.into_inner()).await?));
        offers = hello(&mut line).await?;
    }
    if let (Some(name), Some(password)) = (&mail.username, &mail.password) {
        log_in(&mut line, &offers, name, password).await?;
    }
    command(&mut line, &format!("MAIL FROM:<{}>", mail.from), "MAIL FROM", &[250]).await?;
    let sent = recipients(&mut line, &mail.to).await?;
    command(&mut line, "DATA", "DATA", &[354]).await?;
    say(&mut line, text(mail, message, now).as_bytes()).await?;
    let _ = handed.set(sent.clone());
    expect(&mut line, "the message", &[250]).await?;
    // It is theirs; how they say goodbye changes nothing.
    let _ = say(&mut line, b"QUIT\r\n").await;
    Ok(sent)
}

/// Names who it is for. It goes on where the server takes one of them at least.
async fn recipients(
    line: &mut (impl AsyncBufRead + AsyncWrite + Unpin),
    people: &[String],
) -> Result<Sent, Stopped> {
    let mut not = Vec::new();
    for to in people {
        say(line, format!("RCPT TO:<{to}>\r\n").as_bytes()).await?;
        let (code, _) = reply(line, "RCPT TO").await?;
        match judged(code, "RCPT TO", &[250, 251, 252]) {
            Ok(()) => {}
            // It hangs up.
            Err(stopped) if code == 421 => return Err(stopped),
            Err(stopped) => not.push(stopped),
        }
    }
    let (refused, all) = (not.len(), people.len());
    if refused == 0 {
        return Ok(Sent::Taken);
    }
    if refused < all {
        return Ok(Sent::TakenBut(format!("the mail server refused {refused} of {all} recipients")));
    }
    // One that may be taken later is worth another try.
    let later = not.iter().position(|stopped| matches!(stopped.0, Sent::Later(..))).unwrap_or(0);
    Err(not.swap_remove(later))
}

async fn connect(mail: &Mail, inside: &[Network]) -> Result<TcpStream, Stopped> {
    let found = tokio::net::lookup_host((mail.host.as_str(), mail.port)).await;
    let found = found.map_err(|_| later("the name of the mail server was not found"))?;
    let clear = mail.security == Security::None;
    let may = |address: &SocketAddr| {
        let own = || inside.iter().any(|network| network.contains(address.ip().to_canonical()));
        open(address.ip(), inside) && (!clear || own())
    };
    let addresses: Vec<_> = found.filter(may).take(MOST_ADDRESSES).collect();
    if addresses.is_empty() {
        return Err(refused(format!("the mail server {INSIDE}")));
    }
    for address in addresses {
        if let Ok(stream) = TcpStream::connect(address).await {
            return Ok(stream);
        }
    }
    Err(later("no connection to the mail server could be made"))
}

/// Certificates are judged as the system judges them.
fn connector() -> Option<TlsConnector> {
    static CONFIG: OnceLock<Option<Arc<ClientConfig>>> = OnceLock::new();
    let config = CONFIG.get_or_init(|| {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
        Some(Arc::new(builder.with_platform_verifier().ok()?.with_no_client_auth()))
    });
    config.clone().map(TlsConnector::from)
}

async fn wrap<S: Line>(mail: &Mail, stream: S) -> Result<tokio_rustls::client::TlsStream<S>, Stopped> {
    let connector =
        connector().ok_or_else(|| refused("this machine has no certificates to judge the mail server by"))?;
    let name = ServerName::try_from(mail.host.clone()).map_err(|_| refused("the mail server has no name"))?;
    let wrapped = connector.connect(name, stream).await;
    wrapped.map_err(|error| {
        tracing::debug!(%error, "a mail server could not be spoken to sealed");
        refused("the mail server could not prove who it is, or does not speak TLS on this port")
    })
}

async fn hello(line: &mut BufReader<Box<dyn Line>>) -> Result<Vec<String>, Stopped> {
    command(line, "EHLO nexusmon", "EHLO", &[250]).await
}

async fn log_in(
    line: &mut BufReader<Box<dyn Line>>,
    offers: &[String],
    name: &str,
    password: &str,
) -> Result<(), Stopped> {
    let methods = offers.iter().find_map(|offer| {
        let (word, methods) = offer.split_once([' ', '='])?;
        word.eq_ignore_ascii_case("AUTH").then(|| methods.to_ascii_uppercase())
    });
    let offered =
        |method: &str| methods.as_deref().is_some_and(|all| all.split(' ').any(|one| one == method));
    if offered("LOGIN") && !offered("PLAIN") {
        command(line, "AUTH LOGIN", "AUTH", &[334]).await?;
        command(line, &STANDARD.encode(name), "AUTH", &[334]).await?;
        let password = Zeroizing::new(STANDARD.encode(password.as_bytes()));
        command(line, &password, "AUTH", &[235]).await?;
        return Ok(());
    }
    let both = Zeroizing::new(format!("\0{name}\0{password}"));
    let said = Zeroizing::new(format!("AUTH PLAIN {}", STANDARD.encode(both.as_bytes())));
    command(line, &said, "AUTH", &[235]).await?;
    Ok(())
}

/// Says one line and reads the reply; `what` names it in errors, which never hold the line itself.
async fn command(
    line: &mut BufReader<Box<dyn Line>>,
    said: &str,
    what: &str,
    wanted: &[u16],
) -> Result<Vec<String>, Stopped> {
    let out = Zeroizing::new(format!("{said}\r\n"));
    say(line, out.as_bytes()).await?;
    expect(line, what, wanted).await
}

async fn say(line: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> Result<(), Stopped> {
    let broke = |_| later("the connection to the mail server broke");
    line.write_all(bytes).await.map_err(broke)?;
    line.flush().await.map_err(broke)
}

/// The lines of a reply without their codes.
async fn expect(
    line: &mut (impl AsyncBufRead + Unpin),
    what: &str,
    wanted: &[u16],
) -> Result<Vec<String>, Stopped> {
    let (code, lines) = reply(line, what).await?;
    judged(code, what, wanted)?;
    Ok(lines)
}

fn judged(code: u16, what: &str, wanted: &[u16]) -> Result<(), Stopped> {
    match code {
        _ if wanted.contains(&code) => Ok(()),
        400..=499 => Err(later(&format!("the mail server answered {code} to {what}"))),
        _ => Err(refused(format!("the mail server answered {code} to {what}"))),
    }
}

/// The code of a reply, and its lines.
async fn reply(line: &mut (impl AsyncBufRead + Unpin), what: &str) -> Result<(u16, Vec<String>), Stopped> {
    let mut lines = Vec::new();
    loop {
        let mut bytes = Vec::new();
        let mut limited = AsyncReadExt::take(&mut *line, LONGEST_LINE);
        let read = limited.read_until(b'\n', &mut bytes).await;
        if read.is_err() || bytes.is_empty() {
            return Err(later("the connection to the mail server broke"));
        }
        let Some(Reply { code, last, text }) = Reply::read(&bytes) else {
            return Err(refused(format!("what answered to {what} is no mail server")));
        };
        lines.push(text.to_owned());
        if lines.len() > MOST_LINES {
            return Err(refused(format!("the mail server answered to {what} without an end")));
        }
        if last {
            return Ok((code, lines));
        }
    }
}

/// One line of a reply (RFC 5321, section 4.2).
#[derive(Debug, PartialEq, Eq)]
struct Reply<'a> {
    code: u16,
    last: bool,
    text: &'a str,
}

impl<'a> Reply<'a> {
    fn read(line: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
        let text = text.strip_suffix('\r').unwrap_or(text);
        let code: u16 =
            text.get(..3).filter(|code| code.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()?;
        let last = match text.as_bytes().get(3) {
            None | Some(b' ') => true,
            Some(b'-') => false,
            Some(_) => return None,
        };
        (200..600).contains(&code).then(|| Self { code, last, text: text.get(4..).unwrap_or_default() })
    }
}

/// The message as it is sent, the dot at its end included.
fn text(mail: &Mail, message: &Message, now: Timestamp) -> String {
    let host = mail.from.rsplit_once('@').map_or("nexusmon", |(_, host)| host);
    let mut out = format!(
        "From: NEXUSMON <{}>\r\nTo: {}\r\nSubject: {}\r\nDate: {}\r\nMessage-ID: <{}@{host}>\r\n\
         Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\
         Content-Transfer-Encoding: 7bit\r\n\r\n",
        mail.from,
        mail.to.join(",\r\n "),
        ascii(&message.title),
        date(now),
        ascii(&message.id),
    );
    for line in message.lines.iter().chain(&message.link) {
        let line = ascii(line);
        // A line that is a dot would end the message.
        if line.starts_with('.') {
            out.push('.');
        }
        out.push_str(&line);
        out.push_str("\r\n");
    }
    out.push_str(".\r\n");
    out
}

/// Plain letters, 900 of them at most: nothing breaks a line.
fn ascii(text: &str) -> String {
    let letters = text.chars().take(900);
    letters.map(|letter| if letter.is_ascii_graphic() || letter == ' ' { letter } else { '?' }).collect()
}

/// RFC 5322, section 3.3.
fn date(at: Timestamp) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let days = at.as_micros().div_euclid(24 * 3600 * 1_000_000).rem_euclid(7);
    let day = DAYS[usize::try_from(days).unwrap_or(0)];
    let text = at.to_string();
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    let month = part(5, 7)
        .parse::<usize>()
        .ok()
        .and_then(|month| MONTHS.get(month.wrapping_sub(1)))
        .unwrap_or(&"Jan");
    format!("{day}, {} {month} {} {} +0000", part(8, 10), part(0, 4), part(11, 19))
}

#[cfg(feature = "fuzzing")]
pub(super) fn fuzz(bytes: &[u8]) -> bool {
    let mut all = true;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        match Reply::read(line) {
            Some(reply) => assert!((200..600).contains(&reply.code), "a code that is none is taken"),
            None => all = false,
        }
    }
    let text = String::from_utf8_lossy(bytes);
    if is_mailbox(&text) {
        assert!(!text.contains(['\r', '\n', '<', '>', ' ']), "an address that ends a line is taken");
    }
    all
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn mail() -> Mail {
        Mail {
            host: "mail.example.org".into(),
            port: 465,
            security: Security::Tls,
            username: None,
            password: None,
            from: "nexusmon@example.org".into(),
            to: vec!["you@example.org".into()],
        }
    }

    #[test]
    fn replies_are_read_to_the_letter() {
        let reply = |code, last, text| Some(Reply { code, last, text });
        assert_eq!(Reply::read(b"250 fine\r\n"), reply(250, true, "fine"));
        assert_eq!(Reply::read(b"250-PIPELINING\n"), reply(250, false, "PIPELINING"));
        assert_eq!(Reply::read(b"354\r\n"), reply(354, true, ""));
        for wrong in [
            &b"250 no end"[..],
            b"25\r\n",
            b"2500\r\n",
            b"999 x\r\n",
            b"+OK\r\n",
            b"250 \xff\r\n",
            b"HTTP/1.1 200\r\n",
        ] {
            assert_eq!(Reply::read(wrong), None, "{}", String::from_utf8_lossy(wrong));
        }
    }

    #[test]
    fn what_is_wrong_with_an_address_is_said_with_its_field() {
        let pointer = |change: fn(&mut Mail), inside: &[Network]| {
            let mut mail = mail();
            change(&mut mail);
            check(&mail, inside).err().map(|wrong| wrong.pointer)
        };
        assert_eq!(pointer(|_| {}, &[]), None);
        assert_eq!(pointer(|mail| mail.host = "10.0.0.1".into(), &[]), Some("/server/host"));
        assert_eq!(pointer(|mail| mail.host = "10.0.0.1".into(), &["10.0.0.0/8".parse().unwrap()]), None);
        assert_eq!(pointer(|mail| mail.host = "a b".into(), &[]), Some("/server/host"));
        assert_eq!(pointer(|mail| mail.security = Security::None, &[]), Some("/server/security"));
        assert_eq!(pointer(|mail| mail.username = Some("me".into()), &[]), Some("/server/password"));
        assert_eq!(pointer(|mail| mail.from = "a@b\r\nRCPT TO:<x@y>".into(), &[]), Some("/from"));
        assert_eq!(pointer(|mail| mail.to = vec!["no address".into()], &[]), Some("/to"));
        assert_eq!(pointer(|mail| mail.to.clear(), &[]), Some("/to"));
    }

    #[test]
    fn a_message_has_a_date_and_ends_where_it_should() {
        let message = Message {
            id: "ntf_1".into(),
            title: "An approval waits\r\nBcc: x@y".into(),
            lines: vec![".".into(), "two".into()],
            link: None,
            urgent: true,
            body: json!({}),
        };
        let text = text(&mail(), &message, "2031-01-10T10:01:02Z".parse().unwrap());
        assert!(text.contains("\r\nDate: Fri, 10 Jan 2031 10:01:02 +0000\r\n"), "{text}");
        assert!(text.contains("Subject: An approval waits??Bcc: x@y\r\n"), "{text}");
        assert!(text.ends_with("\r\n\r\n..\r\ntwo\r\n.\r\n"), "{text}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_reply_or_none(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Some(reply) = Reply::read(&bytes) {
                prop_assert!((200..600).contains(&reply.code));
            }
        }
    }
}
