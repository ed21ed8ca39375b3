"""A peer of GStreamer's webrtcbin, whose ICE is libnice. See signalling.mjs."""

import json
import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstWebRTC", "1.0")
gi.require_version("GstSdp", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

from conversation import Caller, options, say  # noqa: E402


def describe(kind):
    """Makes and sends an offer or an answer."""

    def on_made(promise):
        reply = promise.get_reply()  # It owns the description.
        description = reply.get_value(kind)
        webrtc.emit("set-local-description", description, None)
        say({"type": kind, "sdp": description.sdp.as_text()})

    webrtc.emit(f"create-{kind}", None, Gst.Promise.new_with_change_func(on_made))


def call():
    channel = webrtc.emit("create-data-channel", "data", None)
    caller = Caller(lambda data: channel.send_string(data))
    channel.connect("on-open", lambda _: caller.start())
    channel.connect("on-message-string", lambda _, data: caller.receive(data))
    describe("offer")
    return channel


def echo(_, channel):
    channels.append(channel)
    channel.connect("on-message-string", lambda _, data: channel.send_string(data))


def take(message):
    if "candidate" in message:
        webrtc.emit("add-ice-candidate", 0, message["candidate"])
        return
    _, sdp = GstSdp.SDPMessage.new_from_text(message["sdp"])
    kind = GstWebRTC.WebRTCSDPType.OFFER if message["type"] == "offer" else GstWebRTC.WebRTCSDPType.ANSWER
    description = GstWebRTC.WebRTCSessionDescription.new(kind, sdp)
    promise = Gst.Promise.new()
    webrtc.emit("set-remote-description", description, promise)
    promise.wait()
    if message["type"] == "offer":
        describe("answer")


def read():
    for line in sys.stdin:
        GLib.idle_add(take, json.loads(line))


Gst.init(None)
webrtc = Gst.ElementFactory.make("webrtcbin")
for name, value in options.get("properties", {}).items():
    Gst.util_set_object_arg(webrtc, name, value)
pipeline = Gst.Pipeline()
pipeline.add(webrtc)
webrtc.connect("on-ice-candidate", lambda *all: say({"candidate": all[2]}))
channels = []
webrtc.connect("on-data-channel", echo)
pipeline.set_state(Gst.State.PLAYING)
if options["isCaller"]:
    channels.append(call())
threading.Thread(target=read, daemon=True).start()
GLib.MainLoop().run()
