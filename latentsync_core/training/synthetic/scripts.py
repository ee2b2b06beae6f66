"""Seeded sentences in several languages, with voices for training and held-out voices."""

import numpy as np

from ...audio import SAMPLE_RATE_HZ
from ...audio.espeak import Speech, join_speech, silence, speak

VARIANTS = tuple(
    "m1 m2 m3 m5 m6 m7 f1 f2 f4 f5 Alicia Andrea Andy Annie Denis Gene Jacky Lee Marco Mario Michael Mike adam anika "
    "antonio aunty belinda boris david ed edward grandma john linda max michel pablo paul quincy rob sandro "
    "steph".split()
)
HELD_OUT_VARIANTS = ("f3", "m4", "m8")  # never in training, in any language
WORDS = {
    "en-us": "my mother made apple pie for nobody but papa while the big brown boat moved slowly past above our "
    "harbour and every happy baby waved at a funny monkey who jumped over piles of yellow bananas watch out father "
    "calls me before you go home we all laugh about summer rain on warm evenings people speak softly when music plays "
    "coffee in the morning makes people open their eyes over there under a yellow umbrella nobody wants to move today "
    "our neighbour owns five huge dogs and two old cats so please hold on tight while we walk through deep snow I "
    "think you should follow that road about ten miles to find another village with a beautiful church and some good "
    "food every bird can sing but few of them know how to whistle big problems often become small when friends help "
    "out she showed him a new way home he thought it was fun to row across blue water before noon they all agreed",
    "de": "meine mutter backt am abend einen apfelkuchen aber papa mag lieber bananen und warme milch das alte boot "
    "fährt langsam über den blauen fluss viele bunte vögel fliegen am himmel bitte komm bald nach hause wir haben "
    "große pläne für morgen jeder baum im garten trägt pflaumen oder birnen",
    "fr": "ma maman prépare une bonne soupe pour papa pendant que le petit bateau passe sous le pont beaucoup de "
    "monde marche au bord de la mer vous parlez bien mon ami apporte des pommes et du pain chaud demain matin nous "
    "partons à la montagne avec un vieux chapeau bleu",
    "es": "mi mamá compra manzanas para papá y el barco blanco pasa por la bahía muchas palomas vuelan sobre la plaza "
    "mañana vamos a la montaña con un amigo bueno habla más despacio por favor la abuela prepara pan y sopa para todos "
    "bajo el árbol grande",
    "it": "la mamma prepara la pasta per papà mentre la barca bianca passa piano sotto il ponte molti bambini "
    "ballano in piazza domani andiamo al mare con un amico buono parla ancora un poco per favore la nonna ama la "
    "musica e il profumo del pane appena fatto",
    "nl": "mijn moeder bakt vandaag een grote appeltaart en vader leest buiten de krant het oude bruine schip vaart "
    "langzaam over het water wij lopen morgen door de mooie tuin naar huis",
    "pl": "moja mama piecze dobre ciasto a tata pije kawę w małym domu nad wodą powoli płynie biała łódź jutro "
    "pójdziemy razem do lasu szukać grzybów i malin",
    "sv": "min mamma bakar bullar medan pappa målar båten blå många fåglar flyger över ön och vi badar varje morgon "
    "sedan äter alla soppa under det stora äppelträdet",
}
WORDS["en"] = WORDS["en-us"]
HELD_OUT_WORDS = {  # a language and sentences that are in no training clip
    "en-us": "remember the old piano above the workshop nobody believed that a purple elephant could dance until "
    "mister bloom opened his umbrella and showed us all a marvellous map of the moon",
    "pt": "o homem da aldeia abre a porta e vê um pombo branco a minha avó fala baixo na sombra da palmeira amanhã "
    "bebemos um bom café",
}
SPEEDS = (125, 215)  # words per minute
PITCHES = (25, 80)
PAUSE_SECONDS = (0.15, 0.9)
LEVELS = (0.25, 1.0)  # the loudest sample of a clip


def sentence(words: list[str], rng: np.random.Generator) -> str:
    """Three to nine words in any order, perhaps with a comma, and an end mark."""
    picked = list(rng.choice(words, rng.integers(3, 10)))
    if len(picked) > 5 and rng.random() < 0.5:
        picked[len(picked) // 2] += ","
    return " ".join(picked) + str(rng.choice([".", "!", "?"], p=[0.7, 0.15, 0.15]))


def seeded_speech(seconds: float, rng: np.random.Generator, held_out: bool = False) -> tuple[Speech, str]:
    """Random sentences by one random voice for `seconds`, with pauses; returns the speech and the voice, "de+f2".

    held_out: a voice and words that training never uses.
    """
    script = HELD_OUT_WORDS if held_out else WORDS
    language = str(rng.choice(sorted(script)))
    voice = f"{language}+{rng.choice(HELD_OUT_VARIANTS if held_out else VARIANTS)}"
    speed, pitch = int(rng.integers(*SPEEDS)), int(rng.integers(*PITCHES))
    words = script[language].split()
    parts = [silence(float(rng.uniform(0, 0.5)))]
    while sum(part.duration for part in parts) < seconds:
        parts.append(speak(sentence(words, rng), voice, speed, pitch))
        parts.append(silence(float(rng.uniform(*PAUSE_SECONDS))))
    speech = join_speech(parts)
    level = float(rng.uniform(*LEVELS)) / max(np.abs(speech.waveform).max(), 1e-3)
    return cut_speech(Speech(speech.waveform * np.float32(level), speech.phonemes), seconds), voice


def cut_speech(speech: Speech, seconds: float) -> Speech:
    """The first `seconds` of a speech."""
    kept = tuple(p for p in speech.phonemes if p.start < seconds)
    return Speech(speech.waveform[: round(seconds * SAMPLE_RATE_HZ)], kept)
