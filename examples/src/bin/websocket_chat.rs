//! A small chat over WebSocket connections that come back: callbacks, a hook that subscribes again, and a queue for what is
//! said while there is no connection.
//!
//! ```sh
//! cargo run -p networking-examples --bin websocket_chat </dev/null        # a conversation, in which the server restarts
//! cargo run -p networking-examples --bin websocket_chat -- --name ada     # a server, and you: lines are said, end of input leaves
//! cargo run -p networking-examples --bin websocket_chat -- --name bob --connect ws://127.0.0.1:PORT/
//! ```
//!
//! The client says `join NAME AFTER` (the number of the last line that it has), then lines. The server says `NUMBER NAME: LINE`.

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
use networking_spi::websocket::{CloseFrame, WebSocketMessage, WebSocketRequest};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, watch};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame as ServerClose;

/// A small chat.
#[derive(Debug, Parser)]
struct Arguments {
    /// Who you are.
    #[arg(long, default_value = "me")]
    name: String,
    /// The server to join. Without it the program is the server, too.
    #[arg(long)]
    connect: Option<String>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let http: Arc<dyn HttpExtended> = Arc::new(HttpClientBuilder::new().build()?);
    match (&arguments.connect, std::io::stdin().is_terminal()) {
        (Some(url), _) => converse(http, url, &arguments.name).await,
        (None, true) => {
            let (url, _room) = serve().await?;
            println!("others join with --connect {url}");
            converse(http, &url, &arguments.name).await
        }
        (None, false) => demonstrate(http).await,
    }
}

/// A person in the room.
struct Person {
    connection: Arc<ReconnectingWebSocket>,
    listener: WebSocketListener,
    /// The number of the last line that arrived.
    latest: watch::Receiver<u64>,
}

impl Person {
    async fn join(http: &Arc<dyn HttpExtended>, url: &str, name: &str) -> Result<Self, NetworkError> {
        let (latest, received) = watch::channel(0);
        let (me, after) = (name.to_owned(), received.clone());
        let policy = ReconnectPolicy::new()
            .with_delays(Duration::from_millis(50), Duration::from_secs(5))
            .with_queue(100, 64 << 10);
        let connection = ReconnectingWebSocket::builder(Arc::clone(http), WebSocketRequest::new(url)?)
            .policy(policy)
            // On every connection, so nothing that was said during an outage is missed.
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

    async fn say(&self, line: &str) -> Result<(), NetworkError> {
        self.connection.send_text(line).await
    }

    async fn sees(&mut self, number: u64) {
        self.latest
            .wait_for(|latest| *latest >= number)
            .await
            .expect("the listener lives until the end");
    }

    async fn leave(self) -> Result<(), NetworkError> {
        self.listener.stop();
        self.listener.finished().await
    }
}

/// Where lines are shown.
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
            // A line may be on its way in when the next connection asks what follows the last one shown.
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

/// Two people, and a server that restarts while they talk.
async fn demonstrate(http: Arc<dyn HttpExtended>) -> Result<(), Box<dyn Error>> {
    let (url, room) = serve().await?;
    let mut ada = Person::join(&http, &url, "ada").await?;
    let mut bob = Person::join(&http, &url, "bob").await?;
    ada.say("hello, bob").await?;
    ada.sees(1).await;
    bob.sees(1).await;

    let mut events = bob.connection.events();
    room.restart();
    while let Some(event) = events.next().await {
        if let ReconnectEvent::Disconnected { cause } = event {
            println!("(bob is cut off: {cause})");
            break;
        }
    }
    // There may be no connection just now: the line waits for one.
    bob.say("hello, ada; were you gone, too?").await?;
    ada.sees(2).await;
    bob.sees(2).await;
    ada.say("for a moment").await?;
    ada.sees(3).await;
    bob.sees(3).await;
    ada.leave().await?;
    bob.leave().await?;
    println!("3 lines said, 3 lines seen by each, in spite of the restart");
    Ok(())
}

/// Says what is typed.
async fn converse(http: Arc<dyn HttpExtended>, url: &str, name: &str) -> Result<(), Box<dyn Error>> {
    let person = Person::join(&http, url, name).await?;
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        if let Err(error) = person.say(&line).await {
            eprintln!("not said: {error}");
        }
    }
    Ok(person.leave().await?)
}

/// What the server's connections share.
#[derive(Debug)]
struct Room {
    /// The last lines, and the number of the next.
    history: Mutex<(VecDeque<(u64, String)>, u64)>,
    news: broadcast::Sender<News>,
}

#[derive(Debug, Clone)]
enum News {
    Line(u64, String),
    Restart,
}

/// Lines that those who come back can still get.
const HISTORY: usize = 100;

impl Room {
    fn say(&self, line: String) {
        let mut history = self.history.lock().expect("nobody panics with it");
        let number = history.1;
        history.1 += 1;
        history.0.push_back((number, line.clone()));
        if history.0.len() > HISTORY {
            history.0.pop_front();
        }
        // Within the lock, so that nobody joins between the two. Nobody may be there.
        let _ = self.news.send(News::Line(number, line));
    }

    /// Lines after this one, and the news from then on.
    fn join(&self, after: u64) -> (Vec<(u64, String)>, broadcast::Receiver<News>) {
        let history = self.history.lock().expect("nobody panics with it");
        let missed = history
            .0
            .iter()
            .filter(|(number, _)| *number > after)
            .cloned()
            .collect();
        (missed, self.news.subscribe())
    }

    /// Ends all connections with "come back".
    fn restart(&self) {
        let _ = self.news.send(News::Restart);
    }
}

/// A server on loopback, its URL and its room.
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

/// One connection of the server.
async fn host(stream: TcpStream, room: &Room) -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut socket = tokio_tungstenite::accept_async(stream).await?;
    let hello = socket.next().await.ok_or("nobody joined")??.into_text()?;
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
            said = socket.next() => match said {
                Some(Ok(Message::Text(line))) => room.say(format!("{name}: {line}")),
                Some(Ok(_)) => {}
                // Who is gone without a word is gone, too.
                Some(Err(_)) | None => return Ok(()),
            },
            heard = news.recv() => match heard {
                Ok(News::Line(number, line)) => socket.send(Message::text(format!("{number} {line}"))).await?,
                // Whoever is too far behind comes back for the history.
                Ok(News::Restart) | Err(_) => {
                    let come_back = ServerClose {
                        code: CloseFrame::SERVICE_RESTART.into(),
                        reason: "restarting".into(),
                    };
                    return Ok(socket.close(Some(come_back)).await?);
                }
            },
        }
    }
}
