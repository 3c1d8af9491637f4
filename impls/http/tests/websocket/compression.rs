//! permessage-deflate against a peer that reads and writes frames by hand.

use std::sync::Arc;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use networking_http::HttpClientBuilder;
use networking_spi::ErrorKind;
use networking_spi::http::HttpExtended;
use networking_spi::websocket::{
    UnreadPolicy, WebSocketCompression, WebSocketConnection, WebSocketConnectionExt, WebSocketMessage,
    WebSocketOptions, WebSocketRequest,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::raw::{RawServer, read_head};

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const COMPRESSED: u8 = 0x40;
const CLOSE: u8 = 0x88;

/// A frame that the client sent: its first byte, and its payload without the mask.
struct Frame {
    first: u8,
    payload: Vec<u8>,
}

async fn read_frame(stream: &mut TcpStream) -> Option<Frame> {
    let mut head = [0; 2];
    stream.read_exact(&mut head).await.ok()?;
    let length = match head[1] & 0x7f {
        126 => u64::from(stream.read_u16().await.ok()?),
        127 => stream.read_u64().await.ok()?,
        short => u64::from(short),
    };
    let mut mask = [0; 4];
    stream.read_exact(&mut mask).await.ok()?;
    let mut payload = vec![0; usize::try_from(length).unwrap()];
    stream.read_exact(&mut payload).await.ok()?;
    for (index, byte) in payload.iter_mut().enumerate() {
        *byte ^= mask[index % 4];
    }
    Some(Frame {
        first: head[0],
        payload,
    })
}

async fn write_frame(stream: &mut TcpStream, first: u8, payload: &[u8]) {
    let mut frame = vec![first];
    if let Ok(short) = u8::try_from(payload.len())
        && short < 126
    {
        frame.push(short);
    } else if let Ok(length) = u16::try_from(payload.len()) {
        frame.push(126);
        frame.extend(length.to_be_bytes());
    } else {
        frame.push(127);
        frame.extend((payload.len() as u64).to_be_bytes());
    }
    frame.extend_from_slice(payload);
    // The client may have closed the connection.
    let _ = stream.write_all(&frame).await;
}

fn deflated(deflate: &mut Compress, data: &[u8]) -> Vec<u8> {
    let mut output = Vec::with_capacity(data.len() + 1_000);
    deflate.compress_vec(data, &mut output, FlushCompress::Sync).unwrap();
    if output.is_empty() {
        return vec![0];
    }
    output.truncate(output.len() - 4);
    output
}

fn inflated(inflate: &mut Decompress, data: &[u8]) -> Vec<u8> {
    let mut output = Vec::with_capacity(1 << 20);
    for part in [data, &[0, 0, 0xff, 0xff]] {
        inflate
            .decompress_vec(part, &mut output, FlushDecompress::Sync)
            .unwrap();
    }
    output
}

/// Answers the handshake with these extensions, and gives the stream to `serve`. Returns the offers of the client.
async fn server<F, Fut>(answer: &'static str, serve: F) -> (RawServer, UnboundedReceiver<String>)
where
    F: Fn(TcpStream) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let (offers, offered) = mpsc::unbounded_channel();
    let serve = Arc::new(serve);
    let server = RawServer::start(move |mut stream| {
        let (offers, serve) = (offers.clone(), Arc::clone(&serve));
        async move {
            let head = read_head(&mut stream).await;
            let field = |name: &str| {
                head.lines()
                    .filter_map(|line| line.split_once(": "))
                    .find(|(found, _)| found.eq_ignore_ascii_case(name))
                    .map_or_else(String::new, |(_, value)| value.to_owned())
            };
            offers.send(field("sec-websocket-extensions")).unwrap();
            let accept = derive_accept_key(field("sec-websocket-key").as_bytes());
            let extensions = if answer.is_empty() {
                String::new()
            } else {
                format!("sec-websocket-extensions: {answer}\r\n")
            };
            let response = format!(
                "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n{extensions}\
                 sec-websocket-accept: {accept}\r\n\r\n"
            );
            stream.write_all(response.as_bytes()).await.unwrap();
            serve(stream).await;
        }
    })
    .await;
    (server, offered)
}

async fn open(server: &RawServer, options: WebSocketOptions) -> Arc<dyn WebSocketConnection> {
    let request = WebSocketRequest::new(format!("ws://{}/", server.address)).unwrap();
    let client = HttpClientBuilder::new().build().unwrap();
    assert!(client.extended_capabilities().websocket_compression);
    client.websocket_connect(request.with_options(options)).await.unwrap()
}

fn compressing() -> WebSocketOptions {
    WebSocketOptions::new().with_compression(WebSocketCompression::new())
}

/// Checks that messages of at least `min_size` bytes arrive compressed with a window of `bits`, and echoes them, compressed.
async fn echo(mut stream: TcpStream, bits: u8, resets: bool, min_size: usize) {
    let mut inflate = Decompress::new_with_window_bits(false, bits);
    let mut deflate = Compress::new_with_window_bits(Compression::default(), false, bits);
    while let Some(frame) = read_frame(&mut stream).await {
        if frame.first == CLOSE {
            write_frame(&mut stream, CLOSE, &frame.payload).await;
            return;
        }
        let data = if frame.first & COMPRESSED == 0 {
            assert!(frame.payload.len() < min_size, "a long message is compressed");
            frame.payload
        } else {
            if resets {
                inflate.reset(false);
                deflate.reset();
            }
            inflated(&mut inflate, &frame.payload)
        };
        let data = deflated(&mut deflate, &data);
        write_frame(&mut stream, frame.first | COMPRESSED, &data).await;
    }
}

async fn talk(connection: &dyn WebSocketConnection) {
    assert!(connection.is_compressed());
    let long = "the quick brown fox ".repeat(5_000);
    let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(70_000).collect();
    for _ in 0..3 {
        for message in [
            WebSocketMessage::text(""),
            WebSocketMessage::text("short"),
            WebSocketMessage::text(long.clone()),
            WebSocketMessage::binary(noise.clone()),
            WebSocketMessage::text("größe 水 \u{1F980} ".repeat(100)),
        ] {
            connection.send(message.clone()).await.unwrap();
            let back = connection.next().await.unwrap();
            assert!(back.as_ref() == Some(&message), "{} bytes", message.len());
        }
    }
    connection.close().await.unwrap();
}

#[tokio::test]
async fn messages_are_compressed_in_both_directions() {
    let (server, mut offers) = server("permessage-deflate", |stream| echo(stream, 15, false, 64)).await;
    talk(&*open(&server, compressing()).await).await;
    assert_eq!(
        offers.recv().await.unwrap(),
        "permessage-deflate; client_max_window_bits"
    );
}

#[tokio::test]
async fn a_smaller_window_is_kept_to() {
    const ANSWER: &str = "permessage-deflate; client_max_window_bits=9; server_max_window_bits=9";
    let (server, mut offers) = server(ANSWER, |stream| echo(stream, 9, false, 0)).await;
    let offer = WebSocketCompression::new().with_window_bits(12, 10).with_min_size(0);
    let connection = open(&server, WebSocketOptions::new().with_compression(offer)).await;
    talk(&*connection).await;
    let offered = offers.recv().await.unwrap();
    assert_eq!(
        offered,
        "permessage-deflate; client_max_window_bits=12; server_max_window_bits=10"
    );
}

#[tokio::test]
async fn contexts_are_reset_where_one_side_wants_it() {
    const ANSWER: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    let (asking, _offers) = server(ANSWER, |stream| echo(stream, 15, true, 64)).await;
    talk(&*open(&asking, compressing()).await).await;
    let (asked, _offers) = server("permessage-deflate; server_no_context_takeover", |stream| {
        echo(stream, 15, true, 64)
    })
    .await;
    let offer = WebSocketCompression::new().without_context_takeover();
    talk(&*open(&asked, WebSocketOptions::new().with_compression(offer)).await).await;
}

#[tokio::test]
async fn a_window_of_8_bits_is_honoured_by_sending_without_compression() {
    let (server, _offers) = server("permessage-deflate; client_max_window_bits=8", |stream| {
        echo(stream, 15, false, usize::MAX)
    })
    .await;
    talk(&*open(&server, compressing()).await).await;
}

#[tokio::test]
async fn a_peer_that_declines_gets_plain_messages() {
    let (server, _offers) = server("", |mut stream| async move {
        let frame = read_frame(&mut stream).await.unwrap();
        assert_eq!(frame.first, TEXT);
        write_frame(&mut stream, TEXT, &frame.payload).await;
        // Without the extension, the bit is an error.
        write_frame(&mut stream, TEXT | COMPRESSED, &frame.payload).await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let connection = open(&server, compressing()).await;
    assert!(!connection.is_compressed());
    let message = "a long message ".repeat(100);
    connection.send_text(message.clone()).await.unwrap();
    assert_eq!(connection.next().await.unwrap(), Some(WebSocketMessage::text(message)));
    assert_eq!(connection.next().await.unwrap_err().kind(), ErrorKind::Protocol);
}

#[tokio::test]
async fn the_size_limit_is_that_of_the_message_before_compression() {
    for (length, fits) in [(100_000, true), (100_001, false)] {
        let (server, _offers) = server("permessage-deflate", move |mut stream| async move {
            let bomb = deflated(&mut Compress::new(Compression::best(), false), &vec![0; length]);
            write_frame(&mut stream, BINARY | COMPRESSED, &bomb).await;
            let close = read_frame(&mut stream).await.unwrap();
            let code = if fits { 1000_u16 } else { 1009 };
            assert_eq!((close.first, &close.payload[..2]), (CLOSE, &code.to_be_bytes()[..]));
            write_frame(&mut stream, CLOSE, &close.payload).await;
        })
        .await;
        let mut options = compressing();
        options.max_message_size = 100_000;
        options.max_frame_size = 100_000;
        let connection = open(&server, options).await;
        let received = connection.next().await;
        if fits {
            assert_eq!(received.unwrap().map(|message| message.len()), Some(length));
        } else {
            assert_eq!(received.unwrap_err().kind(), ErrorKind::TooLarge);
        }
        let _ = connection.close().await;
    }
}

#[tokio::test]
async fn corrupt_messages_end_the_connection_with_1007() {
    // No deflate data; and data whose text is not UTF-8.
    let garbled = deflated(&mut Compress::new(Compression::best(), false), b"\xc3\x28");
    for payload in [vec![0xff; 20], garbled] {
        let (server, _offers) = server("permessage-deflate", move |mut stream| {
            let payload = payload.clone();
            async move {
                write_frame(&mut stream, TEXT | COMPRESSED, &payload).await;
                let close = read_frame(&mut stream).await.unwrap();
                assert_eq!((close.first, &close.payload[..2]), (CLOSE, &1007_u16.to_be_bytes()[..]));
            }
        })
        .await;
        let connection = open(&server, compressing()).await;
        assert_eq!(connection.next().await.unwrap_err().kind(), ErrorKind::Decode);
    }
}

#[tokio::test]
async fn fragments_of_a_compressed_message_are_one_message() {
    let (server, _offers) = server("permessage-deflate", |mut stream| async move {
        let mut deflate = Compress::new(Compression::best(), false);
        for word in ["first", "second"] {
            let data = deflated(&mut deflate, word.repeat(20).as_bytes());
            let (start, end) = data.split_at(data.len() / 2);
            write_frame(&mut stream, 0x01 | COMPRESSED, start).await;
            write_frame(&mut stream, 0x89, b"between").await;
            write_frame(&mut stream, 0x80, end).await;
        }
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let connection = open(&server, compressing()).await;
    for word in ["first", "second"] {
        let message = connection.next().await.unwrap();
        assert_eq!(message, Some(WebSocketMessage::text(word.repeat(20))));
    }
}

/// Sends that are dropped before they end leave the two windows in agreement.
#[tokio::test]
async fn dropped_sends_do_not_spoil_later_messages() {
    let (server, _offers) = server("permessage-deflate", |stream| echo(stream, 15, false, 64)).await;
    let connection = open(&server, compressing().with_unread(64 << 20, UnreadPolicy::Wait)).await;
    let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(300_000).collect();
    let mut sent = 0;
    for round in 0..40 {
        let mut sending = Box::pin(connection.send_binary(noise.clone()));
        // Polled a few times, and then dropped.
        let mut done = false;
        for _ in 0..round % 8 {
            if futures_util::poll!(&mut sending).is_ready() {
                done = true;
                break;
            }
        }
        if !done && round % 2 == 0 {
            sending.await.unwrap();
            done = true;
        }
        sent += usize::from(done);
    }
    connection
        .send_text("the last of all messages ".repeat(10))
        .await
        .unwrap();
    let mut received = 0;
    loop {
        match connection.next().await.unwrap() {
            Some(WebSocketMessage::Binary(data)) => {
                assert!(data == noise);
                received += 1;
            }
            Some(WebSocketMessage::Text(_)) => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(received >= sent, "{received} of {sent}");
}
