"""A small agent, decorated: `python examples/weather_agent.py`, then `instrument show`."""

from instrument import agent, llm_call, log, tool


@tool
def temperature(city: str) -> float:
    return {"Oslo": -3.0, "Rome": 17.5}[city]


@llm_call(model="gpt-4.1-mini")
def think(question: str, facts: list[str]) -> str:
    return f"{question} {facts[-1]}" if facts else "look up Oslo"


class WeatherAgent:
    name = "weather-1"

    @agent(id="name")
    def run(self, question: str) -> str:
        facts: list[str] = []
        for city in ("Oslo", "Rome"):
            think(question, facts)
            log("TOOL_CALL", f"temperature of {city}")
            facts.append(f"{city}: {temperature(city)} °C")
        return think(question, facts)


if __name__ == "__main__":
    print(WeatherAgent().run("Where is it warmer?"))
