//! The proxy with real sockets on loopback.

use super::*;

/// A host that answers every connection with the head it was sent.
async fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    #[expect(clippy::disallowed_methods, reason = "a server of this test only")]
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut said = vec![0; 4096];
            let read = stream.read(&mut said).await.unwrap_or(0);
            let length = format!("HTTP/1.1 200 OK\r\nContent-Length: {read}\r\n\r\n");
            let _ = stream.write_all(&[length.as_bytes(), &said[..read]].concat()).await;
        }
    });
    port
}

/// What the proxy answers, given these hosts and this `allow_private`.
async fn asked(hosts: &[String], allowed: &[&str], request: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let hosts = hosts.iter().map(|host| host.parse().unwrap()).collect();
    let allow_private = allowed.iter().map(|one| one.parse().unwrap()).collect();
    let gate = Arc::new(Gate::new(hosts, EgressConfig { allow_private, coordinators: Vec::new() }));
    let ask = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    tokio::select! {
        () = serve(listener, gate) => unreachable!("it serves until it is dropped"),
        answer = ask => answer,
    }
}

#[tokio::test]
async fn listed_hosts_are_reached_and_others_are_not() {
    let port = echo().await;
    let listed = [format!("localhost:{port}")];
    let fetch = format!("GET http://localhost:{port}/x HTTP/1.1\r\nHost: other\r\n\r\n");
    let answer = asked(&listed, &["127.0.0.0/8", "::1"], &fetch).await;
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("GET /x HTTP/1.1\r\nHost: localhost"),
        "{answer}"
    );
    let tunnel = format!("CONNECT localhost:{port} HTTP/1.1\r\n\r\nhello");
    let answer = asked(&listed, &["127.0.0.0/8", "::1"], &tunnel).await;
    assert!(answer.contains("200 Connection established") && answer.ends_with("hello"), "{answer}");
    for (hosts, allowed, asking) in [
        (&listed[..], &[][..], &fetch),
        (&listed, &["10.0.0.0/8"], &tunnel),
        (&["localhost:1".to_owned()], &["127.0.0.0/8"], &fetch),
        (&["example.org".to_owned()], &["127.0.0.0/8"], &tunnel),
    ] {
        let answer = asked(hosts, allowed, asking).await;
        assert!(answer.starts_with("HTTP/1.1 403"), "{hosts:?} {allowed:?}: {answer}");
    }
}

#[tokio::test]
async fn a_second_request_behind_the_first_is_not_sent() {
    let port = echo().await;
    let listed = [format!("localhost:{port}")];
    let two = format!(
        "POST http://localhost:{port}/ HTTP/1.1\r\nContent-Length: 2\r\n\r\nokGET /second HTTP/1.1\r\nHost: other\r\n\r\n"
    );
    let answer = asked(&listed, &["127.0.0.0/8", "::1"], &two).await;
    assert!(answer.starts_with("HTTP/1.1 200") && !answer.contains("second"), "{answer}");
}
