// A peer of Pion. See signalling.mjs.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/pion/webrtc" // v3: Debian has it here.
)

// message is a description or a candidate.
type message struct {
	Type      string `json:"type,omitempty"`
	SDP       string `json:"sdp,omitempty"`
	Candidate string `json:"candidate,omitempty"`
	Done      int    `json:"done,omitempty"`
}

var options struct {
	IsCaller bool
	Messages int
}

var output sync.Mutex

func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func say(said message) {
	output.Lock()
	defer output.Unlock()
	fmt.Println(string(must(json.Marshal(said))))
}

func text(number int) string {
	start := fmt.Sprintf("%d ", number)
	return start + strings.Repeat("x", max(0, number-len(start)))
}

func max(a, b int) int {
	if a > b {
		return a
	}
	return b
}

func describe(connection *webrtc.PeerConnection, description webrtc.SessionDescription) {
	check(connection.SetLocalDescription(description))
	say(message{Type: description.Type.String(), SDP: description.SDP})
}

func call(connection *webrtc.PeerConnection) {
	channel := must(connection.CreateDataChannel("data", nil))
	number := 0
	channel.OnOpen(func() { check(channel.SendText(text(number))) })
	channel.OnMessage(func(got webrtc.DataChannelMessage) {
		if string(got.Data) != text(number) {
			panic(fmt.Sprintf("%s instead of %s", got.Data, text(number)))
		}
		number++
		if number == options.Messages {
			say(message{Done: number})
		} else {
			check(channel.SendText(text(number)))
		}
	})
	describe(connection, must(connection.CreateOffer(nil)))
}

func echo(channel *webrtc.DataChannel) {
	channel.OnMessage(func(got webrtc.DataChannelMessage) { check(channel.SendText(string(got.Data))) })
}

func main() {
	check(json.Unmarshal([]byte(os.Args[1]), &options))
	connection := must(webrtc.NewPeerConnection(webrtc.Configuration{}))
	connection.OnICECandidate(func(candidate *webrtc.ICECandidate) {
		if candidate != nil {
			say(message{Candidate: candidate.ToJSON().Candidate})
		}
	})
	connection.OnDataChannel(echo)
	if options.IsCaller {
		call(connection)
	}
	var early []webrtc.ICECandidateInit
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var got message
		check(json.Unmarshal(lines.Bytes(), &got))
		if got.Candidate != "" {
			early = append(early, webrtc.ICECandidateInit{Candidate: got.Candidate})
		} else {
			description := webrtc.SessionDescription{Type: webrtc.NewSDPType(got.Type), SDP: got.SDP}
			check(connection.SetRemoteDescription(description))
			if !options.IsCaller {
				describe(connection, must(connection.CreateAnswer(nil)))
			}
		}
		if connection.RemoteDescription() != nil {
			for _, candidate := range early {
				check(connection.AddICECandidate(candidate))
			}
			early = nil
		}
	}
}
