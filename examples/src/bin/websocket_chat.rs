//! A small chat over WebSocket connections that reconnect. It shows callbacks, a hook that joins again after each reconnect, and
//! a queue for lines that are sent while disconnected.
//!
//! ```sh
//! # A conversation in which the server restarts.
//! cargo run -p networking-examples --features websocket --bin websocket_chat </dev/null
//! # A server and a client. The client sends each line of standard input, and leaves at its end.
//! cargo run -p networking-examples --features websocket --bin websocket_chat -- --name ada
//! # Another client of that server.
//! cargo run -p networking-examples --features websocket --bin websocket_chat -- --name bob --connect ws://127.0.0.1:PORT/
//! ```
//!
//! It needs the feature `websocket`, and `tls` for wss. A client first sends `join NAME AFTER`, where AFTER is the number of the
//! last line that it received, and then lines. The server sends `NUMBER NAME: LINE`.

use std::collections::VecDeque;
use std::error::Error;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use clap::Parser;
use futures_util::{SinkExt, StreamExt};
use networking_impls::http::HttpClientBuilder;
use networking_impls::http::websocket::{ReconnectEvent, ReconnectPolicy, ReconnectingWebSocket, WebSocketListener};
use networking_spi::prelude::*;
use networking_spi::websocket::{CloseFrame, HttpWebSocketClient, WebSocketMessage, WebSocketRequest};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, watch};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame as ServerClose;

/// A small chat.
#[derive(Debug, Parser)]
struct Arguments {
    /// The name of the client.
    #[arg(long, default_value = "me")]
    name: String,
    /// The URL of the server. By default, the program also runs a server.
    #[arg(long)]
    connect: Option<String>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let client: Arc<dyn WebSocketClient> = Arc::new(HttpWebSocketClient::new(HttpClientBuilder::new().build()?));
    match (&arguments.connect, std::io::stdin().is_terminal()) {
        (Some(url), _) => converse(client, url, &arguments.name).await,
        (None, true) => {
            let (url, _room) = serve().await?;
            println!("others join with --connect {url}");
            converse(client, &url, &arguments.name).await
        }
        (None, false) => demonstrate(client).await,
    }
}

/// A client in the room.
struct Participant {
    connection: Arc<ReconnectingWebSocket>,
    listener: WebSocketListener,
    /// The number of the last line received.
    latest: watch::Receiver<u64>,
}

impl Participant {
    async fn join(client: &Arc<dyn WebSocketClient>, url: &str, name: &str) -> Result<Self, NetworkError> {
        let (latest, received) = watch::channel(0);
        let (me, after) = (name.to_owned(), received.clone());
        let policy = ReconnectPolicy::new()
            .with_delays(Duration::from_millis(50), Duration::from_secs(5))
            .with_queue(100, 64 << 10);
        let connection = ReconnectingWebSocket::builder(Arc::clone(client), WebSocketRequest::new(url)?)
            .policy(policy)
            // Runs after each reconnect, too, so that lines that were sent during an outage are not missed.
            .on_open(move |fresh| {
                let join = format!("join {me} {}", *after.borrow());
                async move { fresh.send_text(join).await }
            })
            .connect()
            .await?;
        let screen = Screen {
            name: name.to_owned(),
            latest,
        };
        let listener = WebSocketListener::start(Arc::clone(&connection) as _, Arc::new(screen));
        Ok(Self {
            connection,
            listener,
            latest: received,
        })
    }

    async fn send(&self, line: &str) -> Result<(), NetworkError> {
        self.connection.send_text(line).await
    }

    async fn receives(&mut self, number: u64) {
        self.latest
            .wait_for(|latest| *latest >= number)
            .await
            .expect("the listener runs until the participant leaves");
    }

    async fn leave(self) -> Result<(), NetworkError> {
        self.listener.stop();
        self.listener.finished().await
    }
}

/// Prints the lines that are received.
#[derive(Debug)]
struct Screen {
    name: String,
    latest: watch::Sender<u64>,
}

#[async_trait]
impl WebSocketHandler for Screen {
    async fn on_message(&self, message: WebSocketMessage) {
        let WebSocketMessage::Text(text) = message else { return };
        if let Some((number, line)) = text.split_once(' ')
            && let Ok(number) = number.parse()
            // After a reconnect, a line of the previous connection may arrive a second time.
            && number > *self.latest.borrow()
        {
            println!("[{}] {line}", self.name);
            self.latest.send_replace(number);
        }
    }

    async fn on_error(&self, error: NetworkError) {
        eprintln!("[{}] {error}", self.name);
    }

    async fn on_close(&self, frame: Option<CloseFrame>) {
        println!("[{}] left ({:?})", self.name, frame.map(|frame| frame.code));
    }
}

/// Runs two clients, and a server that restarts during their conversation.
async fn demonstrate(client: Arc<dyn WebSocketClient>) -> Result<(), Box<dyn Error>> {
    let (url, room) = serve().await?;
    let mut ada = Participant::join(&client, &url, "ada").await?;
    let mut bob = Participant::join(&client, &url, "bob").await?;
    ada.send("hello, bob").await?;
    ada.receives(1).await;
    bob.receives(1).await;

    let mut events = bob.connection.events();
    room.restart();
    while let Some(event) = events.next().await {
        if let ReconnectEvent::Disconnected { cause } = event {
            println!("(bob is disconnected: {cause})");
            break;
        }
    }
    // If there is no connection yet, the line is queued.
    bob.send("hello, ada; were you disconnected, too?").await?;
    ada.receives(2).await;
    bob.receives(2).await;
    ada.send("for a moment").await?;
    ada.receives(3).await;
    bob.receives(3).await;
    ada.leave().await?;
    bob.leave().await?;
    println!("3 lines sent, 3 lines received by each client, despite the restart");
    Ok(())
}

/// Sends each line of standard input.
async fn converse(client: Arc<dyn WebSocketClient>, url: &str, name: &str) -> Result<(), Box<dyn Error>> {
    let participant = Participant::join(&client, url, name).await?;
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        if let Err(error) = participant.send(&line).await {
            eprintln!("not sent: {error}");
        }
    }
    Ok(participant.leave().await?)
}

/// The state that the server's connections share.
#[derive(Debug)]
struct Room {
    /// The last lines, and the number of the next line.
    history: Mutex<(VecDeque<(u64, String)>, u64)>,
    news: broadcast::Sender<News>,
}

#[derive(Debug, Clone)]
enum News {
    Line(u64, String),
    Restart,
}

/// The number of recent lines that a client can get after a reconnect.
const HISTORY: usize = 100;

impl Room {
    fn add(&self, line: String) {
        let mut history = self
            .history
            .lock()
            .expect("not poisoned: no code panics with the lock held");
        let number = history.1;
        history.1 += 1;
        history.0.push_back((number, line.clone()));
        if history.0.len() > HISTORY {
            history.0.pop_front();
        }
        // Sent with the lock held, so that a client that joins gets each line once. Fails if there is no client.
        let _ = self.news.send(News::Line(number, line));
    }

    /// Returns the lines after this number, and a receiver for the news from now on.
    fn join(&self, after: u64) -> (Vec<(u64, String)>, broadcast::Receiver<News>) {
        let history = self
            .history
            .lock()
            .expect("not poisoned: no code panics with the lock held");
        let missed = history
            .0
            .iter()
            .filter(|(number, _)| *number > after)
            .cloned()
            .collect();
        (missed, self.news.subscribe())
    }

    /// Closes all connections with the code "service restart".
    fn restart(&self) {
        let _ = self.news.send(News::Restart);
    }
}

/// Starts a server on loopback. Returns its URL and its room.
async fn serve() -> Result<(String, Arc<Room>), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("ws://{}/", listener.local_addr()?);
    let room = Arc::new(Room {
        history: Mutex::new((VecDeque::new(), 1)),
        news: broadcast::Sender::new(HISTORY),
    });
    let shared = Arc::clone(&room);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let room = Arc::clone(&shared);
            tokio::spawn(async move {
                if let Err(error) = host(stream, &room).await {
                    eprintln!("(server: {error})");
                }
            });
        }
    });
    Ok((url, room))
}

/// Serves one connection.
async fn host(stream: TcpStream, room: &Room) -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut socket = tokio_tungstenite::accept_async(stream).await?;
    let hello = socket.next().await.ok_or("the client sent no message")??.into_text()?;
    let mut words = hello.split(' ');
    let (Some("join"), Some(name), Some(Ok(after))) = (words.next(), words.next(), words.next().map(str::parse)) else {
        return Err("the first message must be: join NAME AFTER".into());
    };
    let (missed, mut news) = room.join(after);
    for (number, line) in missed {
        socket.send(Message::text(format!("{number} {line}"))).await?;
    }
    loop {
        tokio::select! {
            received = socket.next() => match received {
                Some(Ok(Message::Text(line))) => room.add(format!("{name}: {line}")),
                Some(Ok(_)) => {}
                // The connection closed or failed: the client has left.
                Some(Err(_)) | None => return Ok(()),
            },
            published = news.recv() => match published {
                Ok(News::Line(number, line)) => socket.send(Message::text(format!("{number} {line}"))).await?,
                // A receiver that lagged also reconnects, and gets the missed lines from the history.
                Ok(News::Restart) | Err(_) => {
                    let restarting = ServerClose {
                        code: CloseFrame::SERVICE_RESTART.into(),
                        reason: "restarting".into(),
                    };
                    return Ok(socket.close(Some(restarting)).await?);
                }
            },
        }
    }
}
